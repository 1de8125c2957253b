// A list that follows its end, and what is written over it; see scroll_follower.js.
import { authorOfThisBrowser } from "sockstore-web/author.js";
import { ScrollFollower } from "sockstore-web/scroll_follower.js";

export default {
  template: `
    <div class="sockstore-messages-frame">
      <div ref="list" class="sockstore-messages" role="log" tabindex="0" :aria-label="label">
        <div v-if="hasOlder || isLoading || isFull" class="sockstore-older">
          <span v-if="isFull">Older messages are not shown</span>
          <button v-else type="button" class="sockstore-quiet-button" :aria-disabled="String(isLoading)" @click="follower.askForOlder()">{{
            isLoading ? "Loading older messages …" : "Load older messages" }}</button>
        </div>
        <div v-if="columns.length" class="sockstore-cells sockstore-columns"><strong v-for="column in columns">{{ column }}</strong></div>
        <slot></slot>
      </div>
      <div v-if="note" class="sockstore-empty">{{ note }}</div>
      <button v-if="!followsEnd" type="button" class="sockstore-newer" :class="{ news: unread }" @click="follower.leap()">
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
  emits: ["reading", "older", "author"],
  data() {
    return { followsEnd: true };
  },
  computed: {
    newer() {
      if (!this.unread) return "Latest messages";
      return this.unread === 1 ? "1 new message" : `${this.unread} new messages`;
    },
  },
  watch: {
    hasOlder: { flush: "post", handler: "offer" },
    isLoading: { flush: "post", handler: "offer" },
  },
  created() {
    this.follower = undefined; // no proxy of Vue's around it
  },
  mounted() {
    this.follower = new ScrollFollower(this.$refs.list, this.told);
    this.offer();
    this.$emit("author", authorOfThisBrowser());
  },
  unmounted() {
    this.follower.destroy();
  },
  methods: {
    offer() {
      this.follower.offer(this.hasOlder, this.isLoading);
    },
    told(what, value, row) {
      if (what === "follows") this.followsEnd = value;
      else this.$emit(what, value, row?.id);
    },
    toEnd() {
      this.follower.toEnd();
    },
  },
};
