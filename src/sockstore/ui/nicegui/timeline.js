// The last events; see scroll_follower.js.
import { ScrollFollower } from "sockstore-web/scroll_follower.js";

export default {
  template: `
    <div ref="list" class="sockstore-timeline" role="log" tabindex="0" aria-label="Timeline">
      <div v-for="[time, kind, text] in events" class="sockstore-event" :data-kind="kind">
        <time>{{ time }}</time><strong>{{ kind }}</strong><span>{{ text }}</span>
      </div>
    </div>`,
  props: { events: { type: Array, default: () => [] } },
  created() {
    this.follower = undefined; // no proxy of Vue's around it
  },
  mounted() {
    this.follower = new ScrollFollower(this.$refs.list, () => {});
  },
  unmounted() {
    this.follower.destroy();
  },
};
