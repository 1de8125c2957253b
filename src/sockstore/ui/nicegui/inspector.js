// A button that opens a panel, and what is in it is there only then.
const MEMORY = "sockstore inspector";

export default {
  template: `
    <section :class="['sockstore-inspector', { open: isOpen }]" aria-label="Connection inspector" @keydown.escape.stop="close">
      <button ref="button" type="button" class="sockstore-inspector-toggle" :aria-expanded="String(isOpen)"
        @click="isOpen ? close() : open()"><span aria-hidden="true">{{ isOpen ? "×" : "∿" }}</span> Inspector</button>
      <div v-if="isOpen" class="sockstore-inspector-panel"><slot></slot></div>
    </section>`,
  emits: ["opened", "closed"],
  data() {
    return { isOpen: false };
  },
  mounted() {
    if (localStorage.getItem(MEMORY)) this.open();
  },
  methods: {
    open() {
      this.isOpen = true;
      localStorage.setItem(MEMORY, "open");
      this.$emit("opened", -new Date().getTimezoneOffset());
    },
    close() {
      if (!this.isOpen) return;
      this.isOpen = false;
      localStorage.removeItem(MEMORY);
      this.$emit("closed");
      this.$refs.button.focus();
    },
  },
};
