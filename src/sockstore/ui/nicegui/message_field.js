// A text field and its button. The text leaves the field when it is sent, so that what is typed
// next is not in its way; the page gives it back if it was not accepted.
import { authorOfThisBrowser } from "sockstore-web/author.js";

const LONGEST = 900_000; // the link to the page's process drops what is a million with its wrapping

export default {
  template: `
    <form class="sockstore-field" @submit.prevent="send">
      <div class="sockstore-growing" :data-text="text">
        <textarea ref="field" rows="1" v-model="text" :placeholder="placeholder" aria-label="Message"
          :disabled="disabled" @keydown.enter="entered" @input="notice = ''"></textarea>
      </div>
      <button type="submit" class="sockstore-button sockstore-send" :disabled="disabled">Send</button>
      <div class="sockstore-notice" role="alert">{{ notice }}</div>
    </form>`,
  props: { placeholder: String, disabled: Boolean },
  emits: ["send", "author"],
  data() {
    return { text: "", given: "", notice: "" };
  },
  mounted() {
    // What was being written outlives a reload, also one that a lost link makes necessary.
    this.draft = `sockstore draft ${location.pathname}${location.search} ${this.$el.id}`;
    this.text = sessionStorage.getItem(this.draft) ?? "";
    this.$emit("author", authorOfThisBrowser());
  },
  watch: {
    text(text) {
      if (text) sessionStorage.setItem(this.draft, text.slice(0, LONGEST));
      else sessionStorage.removeItem(this.draft);
    },
    disabled: {
      // Before it is disabled: a disabled field has no focus, and afterwards nobody knows.
      flush: "pre",
      handler(disabled) {
        if (disabled) this.hadFocus = this.$el.contains(document.activeElement);
        else this.$nextTick(this.focusAgain);
      },
    },
  },
  methods: {
    entered(event) {
      // While an input method composes, Enter chooses a word; Safari says so by the key code.
      if (event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.send();
    },
    send() {
      this.$refs.field.focus();
      if (this.disabled || !this.text.trim()) return;
      this.notice = this.obstacle();
      if (this.notice) return;
      this.$emit("send", this.text.toWellFormed?.() ?? this.text);
      this.text = this.given = "";
    },
    obstacle() {
      // What is sent now would be lost without a word; `socket` is NiceGUI's.
      if (window.socket && !window.socket.connected) return "Not sent: this page has lost its link. It stays here.";
      if (JSON.stringify(this.text).length > LONGEST) return "Not sent: this is too long for one message.";
      return "";
    },
    giveBack(text) {
      // It stands before what was typed since, and after what came back before.
      const isKept = this.given && this.text.startsWith(this.given);
      const typed = isKept ? this.text.slice(this.given.length).replace(/^\n/, "") : this.text;
      this.given = isKept ? `${this.given}\n${text}` : text;
      this.text = typed ? `${this.given}\n${typed}` : this.given;
    },
    focusAgain() {
      const nobody = document.activeElement === document.body || !document.activeElement;
      if (this.hadFocus && nobody) this.$refs.field.focus();
      this.hadFocus = false;
    },
  },
};
