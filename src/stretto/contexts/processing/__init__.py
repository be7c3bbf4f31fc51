"""Processing: cut a recording into chunks, recognise them in parallel, merge the text."""
