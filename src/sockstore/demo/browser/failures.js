// Failures before Python runs, in words for the visitor of the page.

/** A failure whose message says what to do. */
export class Failure extends Error {}

/**
 * Return the failure for an error.
 *
 * @param {Error} error The error.
 * @param {{runtime: string}} settings The page's settings.
 */
export function failureOf(error, settings) {
  if (error instanceof Failure) return error;
  // An import of Pyodide's own modules throws this if they are missing.
  if (error instanceof TypeError && String(error).includes("module")) {
    return notLoaded(settings.runtime, null);
  }
  const lines = String(error.message ?? error).trim().split("\n");
  return new Failure(
    `Python did not start: ${lines.at(-1).slice(0, 300)}. The browser's console tells more.`,
  );
}

/**
 * Return the failure for a file that was not loaded.
 *
 * @param {string} url The file.
 * @param {number | null} status The server's answer; null if there was none.
 */
export function notLoaded(url, status) {
  const place = new URL(url, location.href);
  const answer = status === null ? "no answer" : `the answer was ${status}`;
  const what = `Python could not be loaded from ${place.href} (${answer}).`;
  return new Failure(`${what} ${advice(place.origin === location.origin)}`);
}

function advice(isOurs) {
  return isOurs
    ? "See that `sockstore demo --browser` still runs; if its copy of Pyodide is gone, run " +
        "`make browser-runtime`, or name another copy with --pyodide."
    : "See that this browser is online and may load from there, or run `make browser-runtime` " +
        "and start `sockstore demo --browser` again: then nothing comes from elsewhere.";
}

/** Return the failure for a program that the browser cannot compile. */
export function notCompiled() {
  return new Failure(
    "This browser is too old for this Python. " +
      "Open the page in a current Firefox, Chrome, Edge or Safari.",
  );
}
