// One line of a chat. Vue's {{ }} escapes: whatever a message contains, it is shown as text.
const MARKS = {
  queued: ["…", "Queued: it leaves when the connection is open"],
  sent: ["✓", "Sent"],
  acknowledged: ["✓✓", "Delivered to the room"],
  failed: ["Not delivered", "Not delivered, or nobody can tell whether it was"],
};

export default {
  template: `
    <div :class="['sockstore-line', kind, { own: mark }]" :data-mark="mark">
      <div class="sockstore-line-head" v-if="kind === 'message' && (sender || time)">
        <strong v-if="sender" class="sockstore-sender"><bdi>{{ sender }}</bdi></strong>
        <time v-if="time" :datetime="time" :title="fullTime">{{ localTime }}</time>
        <span v-if="mark" class="sockstore-mark" role="img" :aria-label="marks[1]" :title="marks[1]">{{ marks[0] }}</span>
      </div>
      <div class="sockstore-content" dir="auto">{{ content }}</div>
    </div>`,
  props: { kind: String, sender: String, content: String, time: String, mark: String },
  computed: {
    marks() {
      return MARKS[this.mark];
    },
    localTime() {
      return new Date(this.time).toLocaleTimeString();
    },
    fullTime() {
      return new Date(this.time).toLocaleString();
    },
  },
};
