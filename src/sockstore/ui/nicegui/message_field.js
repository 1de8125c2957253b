// A text field and its button. The text leaves the field when it is sent, so that what is typed
// next is not in its way; the page gives it back if it was not accepted.
export default {
  template: `
    <form class="sockstore-field" @submit.prevent="send">
      <textarea ref="field" rows="1" v-model="text" :placeholder="placeholder" :aria-label="placeholder"
        :disabled="disabled" @keydown.enter="entered" @input="fit"></textarea>
      <button type="submit" class="sockstore-button sockstore-send" :disabled="disabled">Send</button>
    </form>`,
  props: { placeholder: String, disabled: Boolean },
  emits: ["send"],
  data() {
    return { text: "" };
  },
  methods: {
    entered(event) {
      // While an input method composes, Enter chooses a word.
      if (event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    },
    send() {
      if (this.disabled || !this.text.trim()) return;
      this.$emit("send", this.text);
      this.text = "";
      this.$nextTick(this.fit);
      this.$refs.field.focus();
    },
    giveBack(text) {
      this.text = this.text ? `${text}\n${this.text}` : text;
      this.$nextTick(this.fit);
    },
    fit() {
      const field = this.$refs.field;
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight}px`;
    },
  },
};
