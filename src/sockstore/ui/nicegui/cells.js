// One row of a live list. Vue's {{ }} escapes: whatever a feed sends, it is shown as text.
export default {
  template: `<div class="sockstore-cells"><span v-for="cell in cells" dir="auto">{{ cell }}</span></div>`,
  props: { cells: { type: Array, default: () => [] } },
};
