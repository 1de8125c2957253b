// It lets a list follow its end, unless its reader has scrolled away from there; then what the
// reader looks at keeps its place, whatever comes above or below. Both kits in a browser use it.
const NEAR_THE_END = 32; // pixels
const NEAR_THE_BEGINNING = 400; // pixels: older rows are there before the reader is
const PUSH = 200; // pixels that the browser may move the list by when the field below it grows and shrinks
const GESTURE = 1000; // milliseconds in which what moves is moved by the reader
const RISE = 400; // milliseconds that a browser takes to move the list up by a key or a wheel
const UPWARD = new Set(["ArrowUp", "PageUp", "Home"]);
const GLIDE = 1000; // milliseconds that a browser may go on with a movement that was begun before
const AGAIN = 2000; // milliseconds after which older rows that did not come are asked for again
const SETTLED = 500; // milliseconds after which what was loaded is not read aloud any more
const NO_ROWS = ".sockstore-older, .sockstore-columns";

// It is given the list, and a function that it tells: "follows" whether it follows the end,
// "reading" whether the reader looks at the end, and at which row that was; "older" when older rows
// are wanted.
class ScrollFollower {
  constructor(list, tell) {
    this.list = list;
    this.tell = tell;
    this.followsEnd = this.isReading = this.toldToFollow = true;
    this.hasOlder = this.isLoading = this.isTelling = false;
    this.touchedAt = this.roseAt = this.askedAt = this.wentAt = -Infinity;
    this.listen();
    this.observe();
    this.beBusy();
    this.settleSoon();
    this.toEnd();
  }
  listen() {
    this.listening = new AbortController();
    const options = { passive: true, signal: this.listening.signal };
    const touched = (event) => this.touched(event);
    for (const name of ["wheel", "touchmove", "pointerdown", "keydown"]) this.list.addEventListener(name, touched, options);
    this.list.addEventListener("scroll", () => this.scrolled(), options);
    document.addEventListener("visibilitychange", () => this.tellSoon(), options);
  }
  observe() {
    const changed = () => this.changed();
    this.observer = new MutationObserver(changed);
    // The class of a row says whether its name is shown: it changes the height, too.
    const what = { childList: true, subtree: true, characterData: true, attributeFilter: ["class"] };
    this.observer.observe(this.list, what);
    this.resizes = new ResizeObserver(changed);
    this.resizes.observe(this.list);
  }
  destroy() {
    this.tell = () => {};
    this.listening.abort();
    this.observer.disconnect();
    this.resizes.disconnect();
    clearTimeout(this.settling);
    clearTimeout(this.rising);
  }
  touched(event) {
    this.touchedAt = performance.now();
    this.wentAt = -Infinity;
    if (UPWARD.has(event.key) || event.deltaY < 0) this.roseAt = this.touchedAt;
    if (event.key === "Escape") this.goToEnd();
  }
  isRising() {
    return performance.now() - this.roseAt < RISE;
  }
  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    return scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
  }
  readerHasLeft() {
    const up = this.top - this.list.scrollTop;
    const isTouched = performance.now() - this.touchedAt < GESTURE;
    return up > (isTouched ? 0 : PUSH) && !this.isAtEnd();
  }
  follow(followsEnd) {
    this.followsEnd = followsEnd;
    this.tellSoon();
  }
  lookWhereTheReaderIs() {
    this.follow(this.followsEnd ? !this.readerHasLeft() : this.isAtEnd());
  }
  scrolled() {
    if (performance.now() - this.wentAt < GLIDE) this.toEnd();
    this.lookWhereTheReaderIs();
    this.remember();
    this.seekOlder();
  }
  changed() {
    // The event of the reader's scrolling may still be to come.
    this.lookWhereTheReaderIs();
    if (!this.followsEnd) this.keepPlace();
    else if (this.isRising()) this.lookAgainWhenRisen();
    else this.toEnd();
    this.seekOlder();
  }
  // To go to the end now would stop the browser in the first steps of the reader's way up.
  lookAgainWhenRisen() {
    clearTimeout(this.rising);
    this.rising = setTimeout(() => this.changed(), RISE);
  }
  rows() {
    return [...this.list.children].filter((row) => !row.matches(NO_ROWS));
  }
  // Of a row of a chat the date and the name may come and go; where it ends is what stays.
  endOf(row) {
    return row.getBoundingClientRect().bottom - this.list.getBoundingClientRect().top + this.list.scrollTop;
  }
  remember() {
    const edge = this.list.scrollTop;
    const rows = this.followsEnd ? [] : this.rows();
    let [first, end] = [0, rows.length];
    while (first < end) {
      const middle = (first + end) >> 1;
      if (this.endOf(rows[middle]) > edge) end = middle;
      else first = middle + 1;
    }
    this.anchor = rows[first];
    this.anchorEnd = this.anchor && this.endOf(this.anchor);
  }
  keepPlace() {
    if (this.anchor?.isConnected) {
      const moved = this.endOf(this.anchor) - this.anchorEnd;
      if (Math.abs(moved) >= 1) this.list.scrollTop += moved;
    }
    this.remember();
  }
  toEnd() {
    this.follow(true);
    const { list } = this;
    this.end = list.lastElementChild;
    // Also a scroll to where it is would stop the browser in what a key has just begun.
    const below = list.scrollHeight - list.scrollTop - list.clientHeight;
    if (below >= 1) list.scrollTop = list.scrollHeight;
    this.top = list.scrollTop;
  }
  goToEnd() {
    this.toEnd();
    this.wentAt = performance.now();
  }
  // For a button that is gone then, and the focus would be with it.
  leap() {
    this.goToEnd();
    this.list.focus({ preventScroll: true });
  }
  // Once for all that changes now.
  tellSoon() {
    if (this.isTelling) return;
    this.isTelling = true;
    queueMicrotask(() => this.tellWhereTheReaderIs());
  }
  tellWhereTheReaderIs() {
    this.isTelling = false;
    const [follows, isReading] = [this.followsEnd, this.followsEnd && !document.hidden];
    const [tellsFollows, tellsReading] = [follows !== this.toldToFollow, isReading !== this.isReading];
    this.toldToFollow = follows;
    this.isReading = isReading;
    if (tellsFollows) this.tell("follows", follows);
    if (tellsReading) this.tell("reading", isReading, this.end);
  }
  // Whether there are older rows, and whether they are on their way.
  offer(hasOlder, isLoading) {
    const [hadOlder, wasLoading] = [this.hasOlder, this.isLoading];
    this.hasOlder = hasOlder;
    this.isLoading = isLoading;
    if (isLoading && !wasLoading) this.beBusy();
    if (!isLoading && wasLoading) this.settleSoon();
    // Rows that come with it are in the document, and the list has gone to its end, only then.
    if (hasOlder !== hadOlder) queueMicrotask(() => this.seekOlder());
  }
  seekOlder() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    if (!clientHeight || scrollTop > NEAR_THE_BEGINNING) return;
    const isNews = scrollHeight !== this.askedHeight;
    if (isNews || performance.now() - this.askedAt > AGAIN) this.askForOlder();
  }
  askForOlder() {
    if (!this.hasOlder || this.isLoading) return;
    this.askedAt = performance.now();
    this.askedHeight = this.list.scrollHeight;
    this.beBusy();
    this.settleSoon();
    this.tell("older", true);
  }
  beBusy() {
    clearTimeout(this.settling);
    this.list.setAttribute("aria-busy", "true");
  }
  settleSoon() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.list.setAttribute("aria-busy", "false"), SETTLED);
  }
}

export { ScrollFollower };
