// A list that follows its end, unless its reader has scrolled away from there; then what the reader
// looks at keeps its place, whatever comes above or below.
const NEAR_THE_END = 32; // pixels
const NEAR_THE_BEGINNING = 400; // pixels: older rows are there before the reader is
const PUSH = 200; // pixels that the browser may move the list by when the field below it grows and shrinks
const GESTURE = 1000; // milliseconds in which what moves is moved by the reader
const RISE = 400; // milliseconds that a browser takes to move the list up by a key or a wheel
const UPWARD = new Set(["ArrowUp", "PageUp", "Home"]);
const GLIDE = 1000; // milliseconds that a browser may go on with a movement that was begun before
const AGAIN = 2000; // milliseconds after which older rows that did not come are asked for again
const SETTLED = 500; // milliseconds after which what was loaded is not read aloud any more

export default {
  template: `
    <div class="sockstore-messages-frame">
      <div ref="list" class="sockstore-messages" role="log" tabindex="0" :aria-label="label" :aria-busy="String(isBusy)"
        @scroll.passive="scrolled" @wheel.passive="touched" @touchmove.passive="touched"
        @pointerdown.passive="touched" @keydown="touched" @keydown.escape="goToEnd">
        <div v-if="hasOlder || isLoading || isFull" ref="older" class="sockstore-older">
          <span v-if="isFull">Older messages are not shown</span>
          <button v-else type="button" class="sockstore-quiet-button" :aria-disabled="String(isLoading)" @click="askForOlder">{{
            isLoading ? "Loading older messages …" : "Load older messages" }}</button>
        </div>
        <div v-if="columns.length" ref="head" class="sockstore-cells sockstore-columns"><strong v-for="column in columns">{{ column }}</strong></div>
        <slot></slot>
      </div>
      <div v-if="note" class="sockstore-empty">{{ note }}</div>
      <button v-if="!followsEnd" type="button" class="sockstore-newer" :class="{ news: unread }" @click="leap">
        <span>{{ newer }}</span><span aria-hidden="true"> ↓</span>
      </button>
    </div>`,
  props: {
    label: { type: String, default: "Messages" },
    note: String,
    columns: { type: Array, default: () => [] },
    unread: { type: Number, default: 0 },
    hasOlder: Boolean,
    isFull: Boolean,
    isLoading: Boolean,
  },
  emits: ["reading", "older"],
  data() {
    return { followsEnd: true, isBusy: true };
  },
  computed: {
    newer() {
      if (!this.unread) return "Latest messages";
      return this.unread === 1 ? "1 new message" : `${this.unread} new messages`;
    },
  },
  watch: {
    followsEnd: "tellWhereTheReaderIs",
    hasOlder() {
      this.$nextTick(this.seekOlder);
    },
    isLoading(isLoading) {
      if (isLoading) this.beBusy();
      else this.settleSoon();
    },
  },
  mounted() {
    this.touchedAt = this.roseAt = this.askedAt = this.wentAt = -Infinity;
    this.isReading = true;
    this.observer = new MutationObserver(this.changed);
    // The class of a row says whether its name is shown: it changes the height, too.
    const what = { childList: true, subtree: true, characterData: true, attributeFilter: ["class"] };
    this.observer.observe(this.$refs.list, what);
    this.resizes = new ResizeObserver(this.changed);
    this.resizes.observe(this.$refs.list);
    document.addEventListener("visibilitychange", this.tellWhereTheReaderIs);
    this.settleSoon();
    this.toEnd();
  },
  unmounted() {
    this.observer.disconnect();
    this.resizes.disconnect();
    document.removeEventListener("visibilitychange", this.tellWhereTheReaderIs);
    clearTimeout(this.settling);
    clearTimeout(this.rising);
  },
  methods: {
    touched(event) {
      this.touchedAt = performance.now();
      this.wentAt = -Infinity;
      if (UPWARD.has(event.key) || event.deltaY < 0) this.roseAt = this.touchedAt;
    },
    isRising() {
      return performance.now() - this.roseAt < RISE;
    },
    isAtEnd() {
      const { scrollHeight, scrollTop, clientHeight } = this.$refs.list;
      return scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    },
    readerHasLeft() {
      const up = this.top - this.$refs.list.scrollTop;
      const isTouched = performance.now() - this.touchedAt < GESTURE;
      return up > (isTouched ? 0 : PUSH) && !this.isAtEnd();
    },
    scrolled() {
      if (performance.now() - this.wentAt < GLIDE) this.toEnd();
      this.followsEnd = this.followsEnd ? !this.readerHasLeft() : this.isAtEnd();
      this.remember();
      this.seekOlder();
    },
    changed() {
      // The event of the reader's scrolling may still be to come.
      this.followsEnd = this.followsEnd ? !this.readerHasLeft() : this.isAtEnd();
      if (!this.followsEnd) this.keepPlace();
      else if (this.isRising()) this.lookAgainWhenRisen();
      else this.toEnd();
      this.seekOlder();
    },
    // To go to the end now would stop the browser in the first steps of the reader's way up.
    lookAgainWhenRisen() {
      clearTimeout(this.rising);
      this.rising = setTimeout(this.changed, RISE);
    },
    rows() {
      const { list, older, head } = this.$refs;
      return [...list.children].filter((row) => row !== older && row !== head);
    },
    // Of a row of a chat the date and the name may come and go; where it ends is what stays.
    endOf(row) {
      const list = this.$refs.list;
      return row.getBoundingClientRect().bottom - list.getBoundingClientRect().top + list.scrollTop;
    },
    remember() {
      const edge = this.$refs.list.scrollTop;
      const rows = this.followsEnd ? [] : this.rows();
      let [first, end] = [0, rows.length];
      while (first < end) {
        const middle = (first + end) >> 1;
        if (this.endOf(rows[middle]) > edge) end = middle;
        else first = middle + 1;
      }
      this.anchor = rows[first];
      this.anchorEnd = this.anchor && this.endOf(this.anchor);
    },
    keepPlace() {
      if (this.anchor?.isConnected) {
        const moved = this.endOf(this.anchor) - this.anchorEnd;
        if (Math.abs(moved) >= 1) this.$refs.list.scrollTop += moved;
      }
      this.remember();
    },
    toEnd() {
      this.followsEnd = true;
      const list = this.$refs.list;
      // Also a scroll to where it is would stop the browser in what a key has just begun.
      const below = list.scrollHeight - list.scrollTop - list.clientHeight;
      if (below >= 1) list.scrollTop = list.scrollHeight;
      this.top = list.scrollTop;
    },
    goToEnd() {
      this.toEnd();
      this.wentAt = performance.now();
    },
    leap() {
      this.goToEnd();
      // The button is gone now, and the focus would be with it.
      this.$refs.list.focus({ preventScroll: true });
    },
    tellWhereTheReaderIs() {
      const isReading = this.followsEnd && !document.hidden;
      if (isReading !== this.isReading) {
        this.isReading = isReading;
        this.$emit("reading", isReading);
      }
    },
    seekOlder() {
      const { scrollTop, scrollHeight, clientHeight } = this.$refs.list ?? {};
      if (!clientHeight || scrollTop > NEAR_THE_BEGINNING) return;
      const isNews = scrollHeight !== this.askedHeight;
      if (isNews || performance.now() - this.askedAt > AGAIN) this.askForOlder();
    },
    askForOlder() {
      if (!this.hasOlder || this.isLoading) return;
      this.askedAt = performance.now();
      this.askedHeight = this.$refs.list.scrollHeight;
      this.beBusy();
      this.settleSoon();
      this.$emit("older");
    },
    beBusy() {
      clearTimeout(this.settling);
      this.isBusy = true;
    },
    settleSoon() {
      clearTimeout(this.settling);
      this.settling = setTimeout(() => (this.isBusy = false), SETTLED);
    },
  },
};
