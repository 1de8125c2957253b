// The secret by which this browser's messages are known, in all its tabs and after a reload.
const KEY = "sockstore author";

export function authorOfThisBrowser() {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept) return kept;
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    const made = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    localStorage.setItem(KEY, made);
    return made;
  } catch {
    return null; // the visitor has forbidden it
  }
}
