// Watches the files that Pyodide loads. If a file is missing or does not compile, Pyodide only logs it
// and waits without end; and it does not report how much is loaded.
import { notCompiled, notLoaded } from "./failures.js";

/**
 * Run a function that loads files, and return its result.
 *
 * @param {{sizes: Record<string, {bytes: number, wire: number}>}} settings The page's settings.
 * @param {(arrived: number, total: number) => void} show Shown how many bytes have come over the
 *     wire, of how many: 0 if that is unknown.
 * @param {() => Promise<T>} work The function.
 * @throws {Failure} If a file is not loaded or does not compile.
 * @template T
 */
export async function whileLoading({ sizes }, show, work) {
  const { fetch } = globalThis;
  const { instantiateStreaming } = WebAssembly;
  const { promise: failed, fail } = failing();
  const counter = new Counter(sizes, show);
  globalThis.fetch = (url, ...more) => watched(url, fetch(url, ...more), counter).catch(fail);
  WebAssembly.instantiateStreaming = (...program) =>
    instantiateStreaming.apply(WebAssembly, program).catch((error) => fail(understood(error)));
  try {
    return await Promise.race([failed, work()]);
  } finally {
    counter.stop();
    globalThis.fetch = fetch;
    WebAssembly.instantiateStreaming = instantiateStreaming;
  }
}

/**
 * Return a promise that only fails, and the function that makes it fail. The code that loads the file
 * then waits without end: without the file, Pyodide would go on and fail later.
 */
function failing() {
  let reject;
  const promise = new Promise((_, refuse) => (reject = refuse));
  const fail = (error) => {
    reject(error);
    return new Promise(() => {});
  };
  return { promise, fail };
}

async function watched(url, fetching, counter) {
  const response = await fetching.catch(() => {
    throw notLoaded(url, null);
  });
  if (!response.ok) throw notLoaded(url, response.status);
  // A copy is read: the browser caches compiled code only for the response itself.
  counter.read(url, response.clone());
  return response;
}

function understood(error) {
  return error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError
    ? notCompiled()
    : error;
}

/** Counts bytes on the wire. A page sees only unpacked bytes, so each counts as its file's ratio. */
class Counter {
  arrived = 0;

  constructor(sizes, show) {
    this.sizes = sizes;
    this.show = show;
    this.total = Object.values(sizes).reduce((total, { wire }) => total + wire, 0);
  }

  /** Show nothing more: the page shows something else now. */
  stop() {
    this.show = () => {};
  }

  async read(url, response) {
    const size = this.sizes[String(url).split("/").at(-1)];
    const share = size ? size.wire / size.bytes : 1;
    const reader = response.body.getReader();
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.show((this.arrived += part.value.length * share), this.total);
      }
    } catch {
      // The code that loads the file gets the same error, and reports it.
    }
  }
}
