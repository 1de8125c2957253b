// Measures a library of stores as `benchmarks/stores` does: node stores.mjs svelte|tansu [--quick]
// Prints a line of JSON, {row: nanoseconds of CPU time, or a count}.

const LIBRARIES = { svelte: 'svelte/store', tansu: '@amadeus-it-group/tansu' };
const [name, ...flags] = process.argv.slice(2);
const { writable, derived, get } = await import(LIBRARIES[name]);
const [BATCHES, SECONDS] = flags.includes('--quick') ? [1, 0.0001] : [5, 0.02];

const same = (value) => value;
const sum = (values) => values.reduce((one, other) => one + other, 0);
const mean = (values) => sum(values) / values.length;

// Graphs; each computation is given the list of its inputs' values.

const compute = (inputs, fn) => derived(inputs, (values) => fn(values));

function diamond(width, fn, join) {
  const source = writable(0);
  const sides = Array.from({ length: width }, () => compute([source], fn));
  return { source, end: compute(sides, join) };
}

function ladder(levels, fn) {
  const source = writable(0);
  let pair = [compute([source], fn), compute([source], fn)];
  for (let level = 1; level < levels; level++) pair = [compute(pair, fn), compute(pair, fn)];
  return { source, end: compute(pair, fn) };
}

// Cases: `run` does the operation so many times, `check` throws if it had no effect.

function expect(found, wanted) {
  if (found !== wanted) throw new Error(`a subscriber knows ${found}, but the value is ${wanted}`);
}

function subscriber(store) {
  const one = { told: undefined };
  one.leave = store.subscribe((value) => { one.told = value; });
  return one;
}

function changes(source, subscribers, outcome) {
  let last = 0;
  return {
    run(times) { for (let left = times; left > 0; left--) source.set(++last); },
    check() {
      expect(get(source), last);
      for (const one of subscribers) expect(one.told, outcome(last));
    },
  };
}

function setting(count) {
  const source = writable(0);
  return changes(source, Array.from({ length: count }, () => subscriber(source)), same);
}

function subscribing() {
  const source = writable(0);
  const ignore = () => {};
  return {
    run(times) { for (let left = times; left > 0; left--) source.subscribe(ignore)(); },
    check() {
      const one = subscriber(source);
      source.set(get(source) + 1);
      one.leave();
      source.set(get(source) + 1);
      expect(one.told, get(source) - 1);
    },
  };
}

function watched({ source, end }, outcome) {
  return changes(source, [subscriber(end)], outcome);
}

function fanIn() {
  const source = writable(0);
  return { source, end: compute([source, writable(0)], sum) };
}

const CASES = {
  'set, no subscriber': () => setting(0),
  'set, 1 subscriber': () => setting(1),
  'set, 10 subscribers': () => setting(10),
  'set, 1,000 subscribers': () => setting(1000),
  'subscribe and unsubscribe': subscribing,
  'fan-in of 2': () => watched(fanIn(), same),
  'diamond of 100': () => watched(diamond(100, ([value]) => value, sum), (value) => value * 100),
  'ladder of 100': () => watched(ladder(100, mean), same),
};

// Time.

function spent(run, times) {
  const begun = process.cpuUsage();
  run(times);
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6;
}

function timesFor(run) {
  let times = 1;
  let seconds;
  while ((seconds = spent(run, times)) < SECONDS / 4) times *= 4;
  return Math.max(1, Math.round((times * SECONDS) / seconds));
}

function nanoseconds(run) {
  timesFor(run); // once for the compiler, whose threads count too
  const times = timesFor(run);
  const batches = Array.from({ length: BATCHES }, () => spent(run, times));
  return (batches.sort((one, other) => one - other)[BATCHES >> 1] / times) * 1e9;
}

// What a library without glitches would not do; see `guarantees.py` and `random_graphs.py`.

const SIZE = 8;
const CHANGES = 5;
const RANDOM_GRAPHS = 60;

function computationsPerChange(build) {
  let computations = 0;
  const { source, end } = build((values) => { computations++; return values.at(-1); });
  const leave = end.subscribe(() => {});
  computations = 0;
  for (let value = 1; value <= CHANGES; value++) source.set(value);
  leave();
  return computations / CHANGES;
}

function randomNumbers(seed) { // mulberry32
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function sample(random, among, count) {
  const pool = Array.from({ length: among }, (_, index) => index);
  return Array.from({ length: count }, () => pool.splice(Math.floor(random() * pool.length), 1)[0]);
}

function randomGraph(seed, counts) {
  const random = randomNumbers(seed);
  const state = [0, 0];
  const sources = state.map(() => writable(0));
  const nodes = [...sources];
  const truths = [() => state[0], () => state[1]];
  const computations = [];
  for (let number = 0; number < 8; number++) {
    const chosen = sample(random, nodes.length, Math.min(nodes.length, 1 + Math.floor(random() * 3)));
    const divisor = random() < 0.25 ? 3 : 1;
    const valueOf = (values) => Math.floor((sum(values) + 1) / divisor);
    const truth = () => chosen.map((one) => truths[one]());
    nodes.push(compute(chosen.map((one) => nodes[one]), (values) => {
      computations[number]++;
      if (values.join() !== truth().join()) counts.mixed++;
      return valueOf(values);
    }));
    truths.push(() => valueOf(truth()));
  }
  const told = sample(random, nodes.length, 3).map((one) => ({ one, values: [] }));
  for (const { one, values } of told) nodes[one].subscribe((value) => values.push(value));
  for (let change = 0; change < CHANGES; change++) {
    const before = told.map(({ one }) => truths[one]());
    computations.splice(0, 8, ...Array(8).fill(0));
    for (const { values } of told) values.length = 0;
    const chosen = Math.floor(random() * 2);
    state[chosen] += Math.floor(random() * 3);
    sources[chosen].set(state[chosen]);
    for (const count of computations) counts.again += Math.max(0, count - 1);
    told.forEach(({ one, values }, index) => {
      const now = truths[one]();
      if (values.join() !== (now === before[index] ? '' : `${now}`)) counts.wrong++;
    });
  }
}

function guarantees() {
  const counts = { again: 0, mixed: 0, wrong: 0 };
  for (let seed = 0; seed < RANDOM_GRAPHS; seed++) randomGraph(seed, counts);
  return {
    [`computations, diamond of ${SIZE}`]: computationsPerChange((fn) => diamond(SIZE, fn, fn)),
    [`computations, ladder of ${SIZE}`]: computationsPerChange((fn) => ladder(SIZE, fn)),
    'computed again, random graphs': counts.again,
    'mixed values, random graphs': counts.mixed,
    'told wrongly, random graphs': counts.wrong,
  };
}

const figures = guarantees();
for (const [row, build] of Object.entries(CASES)) {
  const { run, check } = build();
  figures[row] = nanoseconds(run);
  check();
}
console.log(JSON.stringify(figures));
