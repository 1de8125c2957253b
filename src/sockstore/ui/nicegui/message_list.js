// A list that follows its end, unless its reader has scrolled away from there.
const NEAR_THE_END = 32; // pixels

export default {
  template: `<div class="sockstore-messages" role="log" tabindex="0" aria-label="Messages" @scroll.passive="scrolled"><slot></slot></div>`,
  mounted() {
    this.followsEnd = true;
    this.observer = new MutationObserver(() => this.followsEnd && this.toEnd());
    this.observer.observe(this.$el, { childList: true, subtree: true, characterData: true });
    this.resizes = new ResizeObserver(() => this.followsEnd && this.toEnd());
    this.resizes.observe(this.$el);
    this.toEnd();
  },
  unmounted() {
    this.observer.disconnect();
    this.resizes.disconnect();
  },
  methods: {
    scrolled() {
      const { scrollHeight, scrollTop, clientHeight } = this.$el;
      this.followsEnd = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    },
    toEnd() {
      this.$el.scrollTop = this.$el.scrollHeight;
    },
  },
};
