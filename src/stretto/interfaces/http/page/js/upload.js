// Uploads recordings in pieces (tus 1.0). What arrived is not sent again: after a lost connection, a restart of the
// server, or a reload of the page when the same file is chosen once more.

import { ApiError, address, backoff, connection, passing, pause, request, send } from "./api.js";
import { store, stored } from "./memory.js";

const MOST_FAILURES = 120; // in a row: about eight minutes
const PIECE_BYTES = 4 * 1024 * 1024;
const TUS = { "tus-resumable": "1.0.0" };
const GONE = new Set([403, 404, 410]);
const ASTRAY = new Set([409, 423, 460]); // the server is at another place than we are: ask where

/** The uploads of this page, the newest first; they go on while other views are shown. Tells `change`. */
export const uploads = new (class extends EventTarget {
  list = [];
  tail = Promise.resolve();

  /** Add a file; it is sent when those before it are, and submitted as a job with `options`. An address is fetched by the server. */
  add(file, options) {
    const leaving = new AbortController();
    const upload = { key: crypto.randomUUID?.() ?? String(Math.random()), name: file.name ?? file, size: file.size, sent: 0, state: "waiting", error: null, job: null };
    upload.cancel = () => {
      leaving.abort();
      this.remove(upload);
    };
    upload.again = () => {
      this.remove(upload);
      this.add(file, options);
    };
    this.list.unshift(upload);
    this.changed();
    const run = () => this.run(upload, file, options, leaving.signal);
    if (file.size) this.tail = this.tail.then(run);
    else run();
  }

  async run(upload, file, options, signal) {
    if (signal.aborted) return;
    try {
      let source = { url: file };
      upload.state = "fetching";
      if (file.size) {
        upload.state = "sending";
        source = { upload: await sendFile(file, signal, (sent) => {
          upload.sent = sent;
          this.changed();
        }) };
        upload.state = "submitting";
      }
      this.changed();
      upload.job = await submit(source, source.upload ?? upload.key, options, signal);
      if (file.size) forget(file);
      this.remove(upload);
    } catch (error) {
      if (signal.aborted) return;
      upload.state = "failed";
      upload.error = error;
    }
    this.changed();
  }

  remove(upload) {
    this.list = this.list.filter((other) => other !== upload);
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
})();

addEventListener("beforeunload", (event) => {
  if (uploads.list.some((upload) => upload.state !== "failed")) event.preventDefault();
});

const remembered = (file) => `upload:${file.name}:${file.size}:${file.lastModified}`;
const forget = (file) => store(remembered(file), null);

/** Until the job is on the disk: the same key leads to the same job, however often we have to ask. */
async function submit(source, key, options, signal) {
  for (let failures = 0; ; failures += 1) {
    try {
      return await send("POST", "api/jobs", { ...source, ...options }, { signal, headers: { "idempotency-key": `page-${key}` } });
    } catch (error) {
      if (!passing(error) || signal.aborted) throw error;
      await pause(backoff(failures), signal);
    }
  }
}

/** Send all of the file; returns the id of the upload. */
async function sendFile(file, signal, progressed) {
  let place = null;
  let offset = 0;
  let failures = 0;
  for (;;) {
    try {
      if (place === null) ({ place, offset } = await begun(file, signal));
      progressed(offset);
      if (offset >= file.size) return place.split("/").pop();
      offset = await sendPiece(place, offset, file.slice(offset, offset + PIECE_BYTES), signal, progressed);
      failures = 0;
    } catch (error) {
      if (signal.aborted || !(passing(error) || ASTRAY.has(error.status)) || failures > MOST_FAILURES) throw error;
      await pause(backoff(failures), signal);
      failures += 1;
      place = null;
    }
  }
}

/** Where the upload is and how much of it is there; a new one where none was begun. */
async function begun(file, signal) {
  const known = stored(remembered(file));
  if (known) {
    try {
      const answer = await request(known, { method: "HEAD", headers: TUS, signal });
      return { place: known, offset: Number(answer.headers.get("upload-offset")) };
    } catch (error) {
      if (!GONE.has(error.status)) throw error;
    }
  }
  const name = btoa(String.fromCodePoint(...new TextEncoder().encode(file.name)));
  const headers = { ...TUS, "upload-length": String(file.size), "upload-metadata": `filename ${name}` };
  const answer = await request("api/uploads", { method: "POST", headers, signal });
  const id = answer.headers.get("location").split("/").pop();
  const place = `api/uploads/${id}`; // ours, also behind a proxy that serves us under a path
  store(remembered(file), place);
  return { place, offset: 0 };
}

/** Send one piece; returns the new offset. XMLHttpRequest, because fetch does not say how much is sent. */
function sendPiece(place, offset, piece, signal, progressed) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("PATCH", address(place));
    const headers = { ...TUS, "upload-offset": String(offset), "content-type": "application/offset+octet-stream" };
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
    sending.upload.onprogress = (event) => progressed(offset + event.loaded);
    sending.onerror = () => reject(new ApiError("", { status: 0 }));
    sending.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    sending.onload = () => {
      if (sending.status === 204) resolve(Number(sending.getResponseHeader("upload-offset")));
      else if (sending.status === 401) connection.dispatchEvent(new Event("locked"));
      if (sending.status !== 204) reject(refused(sending));
    };
    signal.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(piece);
  });
}

function refused(sending) {
  try {
    const { message, code } = JSON.parse(sending.responseText).error;
    return new ApiError(message, { status: sending.status, code });
  } catch {
    return new ApiError(`${sending.status} ${sending.statusText}`, { status: sending.status });
  }
}
