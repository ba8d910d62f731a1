// Opens an artifact in the browser: fetch → age → zstd → a file.  The identity stays in this module's memory: it is in no form,
// no request, no storage, and is forgotten with the page.
import { Decrypter, Decompress } from "./vendor/third_party.js";

const MOST_IN_MEMORY = 512 * 1024 * 1024; // for browsers that cannot write to a file as they go
const PIECE = 4096; // zstd may hold 30,000 times as much: small pieces bound what one step makes
const TRIES = 5;
const IDENTITY = /AGE-SECRET-KEY-1[0-9A-Z]+/gi;

export function prepare() {
  for (const box of document.querySelectorAll("[data-decrypt]:not([data-ready])")) {
    box.dataset.ready = "yes";
    new Box(box);
  }
}

class Box {
  constructor(root) {
    this.part = (name) => root.querySelector(`[data-decrypt-${name}]`);
    this.part("start").addEventListener("click", () => this.start());
    this.part("stop").addEventListener("click", () => this.stopping?.abort());
    this.part("file").addEventListener("change", () => this.say(""));
    // A page that comes back from the browser's cache shall not bring an identity along.
    addEventListener("pagehide", () => this.forget());
  }

  forget() {
    this.part("identity").value = "";
    this.part("file").value = "";
  }

  say(text, tone = "") {
    const words = this.part("words");
    words.textContent = text;
    words.className = tone ? "note-box" : "";
    if (tone) words.dataset.tone = tone;
  }

  async start() {
    if (this.stopping) return;
    const artifact = this.part("artifact").selectedOptions[0];
    const plainBytes = Number(artifact.dataset.plain);
    this.stopping = new AbortController();
    let sink = null;
    try {
      const decrypter = new Decrypter();
      for (const identity of await this.identities()) decrypter.addIdentity(identity);
      sink = await openSink(artifact.dataset.name, plainBytes);
      this.busy(true);
      await this.open(decrypter, artifact, sink);
      await sink.close();
      this.say(`Saved ${artifact.dataset.name}: ${size(plainBytes)}, every byte authentic.`, "good");
    } catch (error) {
      await sink?.abort();
      this.say(...told(error, this.stopping.signal.aborted));
    } finally {
      this.stopping = null;
      this.busy(false);
    }
  }

  async identities() {
    const file = this.part("file").files[0];
    const text = (file ? await file.text() : "") + "\n" + this.part("identity").value;
    const lines = text.split("\n").filter((line) => !line.trimStart().startsWith("#"));
    const found = lines.join("\n").match(IDENTITY) ?? [];
    if (found.length === 0) throw new Told("Give an identity: a file that holds one, or its text, which begins with AGE-SECRET-KEY-1.");
    return found.map((identity) => identity.toUpperCase());
  }

  async open(decrypter, artifact, sink) {
    const storedBytes = Number(artifact.dataset.stored);
    const plainBytes = Number(artifact.dataset.plain);
    const heard = (at) => this.progress(at, storedBytes);
    const opened = await decrypter.decrypt(fetched(artifact.value, storedBytes, heard, this.stopping.signal));
    let ready = [];
    let written = 0;
    const zstd = new Decompress((chunk) => ready.push(chunk));
    const drain = async () => {
      for (const chunk of ready) {
        written += chunk.length;
        await sink.write(chunk);
      }
      ready = [];
    };
    const reader = opened.getReader();
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      for (let at = 0; at < step.value.length; at += PIECE) {
        zstd.push(step.value.subarray(at, at + PIECE));
        await drain();
      }
    }
    zstd.push(new Uint8Array(0), true);
    await drain();
    if (written !== plainBytes) throw new Told(`It holds ${size(written)}, but its record says ${size(plainBytes)}: call whoever keeps the backups.`);
  }

  busy(now) {
    this.part("start").disabled = now;
    this.part("stop").hidden = !now;
    this.part("progress").hidden = !now;
    if (now) {
      this.progress(0, 1);
      this.say("Decrypting …");
    }
  }

  progress(at, all) {
    const bar = this.part("progress").querySelector("progress");
    bar.value = (100 * at) / Math.max(1, all);
    this.part("amount").textContent = all > 1 ? `${size(at)} of ${size(all)} fetched` : "";
  }
}

class Told extends Error {}

// The object as a stream; what is cut off goes on where it was.
function fetched(url, storedBytes, heard, signal) {
  let at = 0;
  let tries = 0;
  let reader = null;
  const connect = async () => {
    const headers = at ? { Range: `bytes=${at}-` } : {};
    const answer = await fetch(url, { headers, signal, credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw new Told(await problem(answer));
    if (at && answer.status !== 206) throw new Told("The download was cut off, and the coordinator does not go on with it.");
    reader = answer.body.getReader();
  };
  const next = async () => {
    for (;;) {
      try {
        if (!reader) await connect();
        const step = await reader.read();
        if (step.done && at < storedBytes) throw new Error("cut off");
        tries = 0;
        return step;
      } catch (error) {
        reader = null;
        tries += 1;
        if (error instanceof Told || signal.aborted || tries >= TRIES) throw error;
        await new Promise((wake) => setTimeout(wake, 500 * 2 ** tries));
      }
    }
  };
  return new ReadableStream({
    async pull(controller) {
      const step = await next();
      if (step.done) {
        controller.close();
        return;
      }
      at += step.value.length;
      heard(at);
      controller.enqueue(step.value);
    },
    cancel() {
      reader?.cancel().catch(() => {});
    },
  });
}

async function problem(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The coordinator answered with status ${answer.status}.`;
  }
}

// To a file that the person chooses, written as it comes; else gathered, and saved when it is whole.
async function openSink(name, plainBytes) {
  if (window.showSaveFilePicker) {
    const handle = await window.showSaveFilePicker({ suggestedName: name });
    const file = await handle.createWritable();
    return { write: (chunk) => file.write(chunk), close: () => file.close(), abort: () => file.abort() };
  }
  if (plainBytes > MOST_IN_MEMORY) {
    throw new Told(`This browser cannot write to a file as it goes, and ${size(plainBytes)} do not fit into its memory: use a browser that can, such as Chromium, or download the age file and open it with the age program.`);
  }
  const parts = [];
  return {
    write: async (chunk) => void parts.push(chunk),
    abort: async () => void parts.splice(0),
    close: async () => {
      const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
      const link = Object.assign(document.createElement("a"), { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    },
  };
}

function told(error, stopped) {
  if (stopped || error.name === "AbortError") return ["Stopped; nothing was saved.", "off"];
  if (error instanceof Told) return [error.message, "problem"];
  if (/no identity matched/.test(error.message)) return ["This identity opens none of it: it is not one that the backup was encrypted to.", "problem"];
  if (/invalid (identity|secret key)|bech32|checksum/i.test(error.message)) return ["This is no identity: a character is missing or wrong.", "problem"];
  return [`It could not be opened, and nothing was saved: ${error.message}.`, "problem"];
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? value.toPrecision(3) : value} ${UNITS[unit]}`;
}
