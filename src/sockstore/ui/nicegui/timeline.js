// The last events; it follows its end, unless its reader has scrolled away from there.
export default {
  template: `
    <div ref="list" class="sockstore-timeline" role="log" tabindex="0" aria-label="Timeline">
      <div v-for="[time, kind, text] in events" class="sockstore-event" :data-kind="kind">
        <time>{{ time }}</time><strong>{{ kind }}</strong><span>{{ text }}</span>
      </div>
    </div>`,
  props: { events: { type: Array, default: () => [] } },
  watch: {
    events: {
      flush: "pre",
      handler() {
        const { scrollHeight, scrollTop, clientHeight } = this.$refs.list;
        if (scrollHeight - scrollTop - clientHeight < 16) this.$nextTick(this.toEnd);
      },
    },
  },
  mounted() {
    this.toEnd();
  },
  methods: {
    toEnd() {
      this.$refs.list.scrollTop = this.$refs.list.scrollHeight;
    },
  },
};
