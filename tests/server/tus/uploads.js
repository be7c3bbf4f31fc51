// Uploads a file in the ways that the official client knows, and says what came of each as a line of JSON.

import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, path] = process.argv.slice(2);
const uploadSize = statSync(path).size;
const chunkSize = 300_000;
const metadata = { filename: "Доклад.wav" };

/** Upload the file; resolves with its address, or with that of what `stop` ended in the middle. */
function uploaded(options = {}, stop = () => false) {
  return new Promise((resolve, reject) => {
    const offsets = [];
    const upload = new Upload(createReadStream(path, { start: 0 }), {
      endpoint, uploadSize, chunkSize, metadata,
      retryDelays: [0, 100, 500],
      onError: reject,
      onSuccess: () => resolve({ url: upload.url, offsets, upload }),
      onChunkComplete: (_, accepted) => {
        offsets.push(accepted);
        if (stop(accepted)) upload.abort(stop.terminate).then(() => resolve({ url: upload.url, offsets, upload }), reject);
      },
      ...options,
    });
    upload.start();
  });
}

const half = (accepted) => accepted >= uploadSize / 2;
const whole = await uploaded();
console.log(JSON.stringify({ way: "in pieces", url: whole.url, offsets: whole.offsets }));

const atOnce = await uploaded({ uploadDataDuringCreation: true, chunkSize: Infinity });
console.log(JSON.stringify({ way: "with its creation", url: atOnce.url, offsets: atOnce.offsets }));

const begun = await uploaded({}, half);
const resumed = await uploaded({ uploadUrl: begun.url });
console.log(JSON.stringify({ way: "resumed", url: resumed.url, offsets: resumed.offsets, begun: begun.offsets }));

const dropped = await uploaded({}, Object.assign((accepted) => half(accepted), { terminate: true }));
console.log(JSON.stringify({ way: "dropped", url: dropped.url, offsets: dropped.offsets }));
