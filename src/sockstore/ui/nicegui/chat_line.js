// One row of a chat. Vue's {{ }} escapes: whatever a message contains, it is shown as text.
const MARKS = {
  queued: ["…", "Queued: it leaves when the connection is open"],
  sent: ["✓", "Sent"],
  acknowledged: ["✓✓", "Delivered to the room"],
  failed: ["Not delivered", "Not delivered, or it is unknown whether it was"],
};
const TONES = 6; // see the style sheet

const dayOf = (time) => (time ? new Date(time).toDateString() : "");

export default {
  template: `
    <div :class="['sockstore-row', { own: mark, together: isTogether }]">
      <div v-if="day" class="sockstore-day" role="separator"><span>{{ day }}</span></div>
      <div v-if="isFirstUnread" class="sockstore-unread" role="separator"><span>New</span></div>
      <div :class="['sockstore-line', kind, { own: mark }]" :data-mark="mark">
        <strong v-if="kind === 'message' && sender" class="sockstore-sender" :data-tone="tone"><bdi>{{ sender }}</bdi></strong>
        <div class="sockstore-said">
          <span class="sockstore-content"><template v-for="[text, url] in pieces"><a
            v-if="url" :href="url" target="_blank" rel="noopener noreferrer">{{ text }}</a><template v-else>{{ text }}</template></template></span>
          <button v-if="canBeFilled" type="button" class="sockstore-quiet-button" @click="$emit('fill')">Load them</button>
          <div v-if="kind === 'message' && (time || mark)" class="sockstore-line-foot">
            <time v-if="time" :datetime="time" :title="fullTime">{{ localTime }}</time>
            <span v-if="mark" class="sockstore-mark" role="img" :aria-label="marks[1]" :title="marks[1]">{{ marks[0] }}</span>
          </div>
        </div>
      </div>
    </div>`,
  props: {
    kind: String,
    sender: String,
    pieces: { type: Array, default: () => [] },
    time: String,
    mark: String,
    previousTime: String,
    continues: Boolean,
    isFirstUnread: Boolean,
    canBeFilled: Boolean,
  },
  emits: ["fill"],
  computed: {
    marks() {
      return MARKS[this.mark];
    },
    localTime() {
      return new Date(this.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    },
    fullTime() {
      return new Date(this.time).toLocaleString();
    },
    day() {
      const day = dayOf(this.time);
      return day && day !== dayOf(this.previousTime) ? this.nameOf(new Date(this.time)) : "";
    },
    isTogether() {
      return this.continues && !this.day && !this.isFirstUnread;
    },
    tone() {
      let tone = 0;
      for (const character of this.sender) tone = (tone * 31 + character.codePointAt(0)) % 9973;
      return tone % TONES;
    },
  },
  methods: {
    nameOf(date) {
      const today = new Date();
      const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
      if (date.toDateString() === today.toDateString()) return "Today";
      if (date.toDateString() === yesterday.toDateString()) return "Yesterday";
      const year = date.getFullYear() === today.getFullYear() ? "" : ` ${date.getFullYear()}`;
      const write = (what) => date.toLocaleDateString("en-GB", what);
      return `${write({ weekday: "short" })} ${write({ day: "numeric", month: "long" })}${year}`;
    },
  },
};
