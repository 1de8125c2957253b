// A list that follows its end, unless its reader has scrolled away from there.
const NEAR_THE_END = 32; // pixels
const PUSH = 200; // pixels that the browser may move the list by when the field below it grows and shrinks
const GESTURE = 1000; // milliseconds in which what moves is moved by the reader

export default {
  template: `
    <div class="sockstore-messages" role="log" tabindex="0" aria-label="Messages"
      @scroll.passive="scrolled" @wheel.passive="touched" @touchmove.passive="touched"
      @pointerdown.passive="touched" @keydown="touched"><slot></slot></div>`,
  mounted() {
    this.touchedAt = -GESTURE;
    this.observer = new MutationObserver(this.changed);
    this.observer.observe(this.$el, { childList: true, subtree: true, characterData: true });
    this.resizes = new ResizeObserver(this.changed);
    this.resizes.observe(this.$el);
    this.toEnd();
  },
  unmounted() {
    this.observer.disconnect();
    this.resizes.disconnect();
  },
  methods: {
    touched() {
      this.touchedAt = performance.now();
    },
    isAtEnd() {
      const { scrollHeight, scrollTop, clientHeight } = this.$el;
      return scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    },
    readerHasLeft() {
      const up = this.top - this.$el.scrollTop;
      const isTouched = performance.now() - this.touchedAt < GESTURE;
      return up > (isTouched ? 0 : PUSH) && !this.isAtEnd();
    },
    scrolled() {
      this.follow(this.followsEnd ? !this.readerHasLeft() : this.isAtEnd());
    },
    changed() {
      // The event of the reader's scrolling may still be to come.
      this.scrolled();
      if (this.followsEnd) this.toEnd();
    },
    follow(whether) {
      this.followsEnd = whether;
      // Then nothing but the reader and ourselves moves it, see the style sheet.
      this.$el.classList.toggle("at-end", whether);
    },
    toEnd() {
      this.follow(true);
      this.$el.scrollTop = this.$el.scrollHeight;
      this.top = this.$el.scrollTop;
    },
  },
};
