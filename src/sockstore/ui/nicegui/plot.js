// The last minute of one figure: a line, and in words what it shows.
const SECONDS = 60;
const HEIGHT = 100;

let plots = 0;

export default {
  template: `
    <figure class="sockstore-plot">
      <figcaption><span>{{ label }}</span><strong>{{ say(latest) }}</strong></figcaption>
      <svg :viewBox="box" preserveAspectRatio="none" role="img" :aria-labelledby="title">
        <title :id="title">{{ summary }}</title>
        <path class="area" :d="area"></path>
        <path class="line" :d="line"></path>
      </svg>
      <div class="sockstore-plot-scale" aria-hidden="true"><span>1 min ago</span><span v-if="known.length">{{ say(highest) }} at most</span><span>now</span></div>
    </figure>`,
  props: { label: String, unit: String, least: Number, values: { type: Array, default: () => [] } },
  data() {
    return { title: `sockstore-plot-${++plots}`, box: `0 -4 ${SECONDS - 1} ${HEIGHT + 8}` };
  },
  computed: {
    known() {
      return this.values.filter((value) => value !== null);
    },
    latest() {
      return this.known.at(-1);
    },
    highest() {
      return this.known.length ? Math.max(...this.known) : undefined;
    },
    points() {
      const top = Math.max(this.least, this.highest ?? 0);
      const start = SECONDS - this.values.length;
      return this.values.flatMap((value, index) =>
        value === null ? [] : [[start + index, HEIGHT * (1 - value / top)]],
      );
    },
    line() {
      return this.points.map(([x, y], index) => `${index ? "L" : "M"}${x} ${y.toFixed(1)}`).join("");
    },
    area() {
      if (!this.points.length) return "";
      const [first, last] = [this.points[0][0], this.points.at(-1)[0]];
      return `${this.line}L${last} ${HEIGHT}L${first} ${HEIGHT}Z`;
    },
    summary() {
      if (!this.known.length) return `${this.label}: not known yet`;
      return `${this.label}: ${this.say(this.latest)} now, ${this.say(this.highest)} at most in the last minute`;
    },
  },
  methods: {
    say(value) {
      if (value === undefined) return "–";
      return `${value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value)} ${this.unit}`;
    },
  },
};
