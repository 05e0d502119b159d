// SPDX-License-Identifier: MIT
// The page of a report: draws what the element #data holds. docs/report.md describes the data.
"use strict";
(() => {
const D = JSON.parse(document.getElementById("data").textContent);
const M = D.meta, SHIFT = M.page_shift || 12, PAGE = 2 ** SHIFT;
const $ = (id) => document.getElementById(id);
const NR_KINDS = D.areaKinds.length;

// ---- Small things ----

function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const group = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
const plural = (number, one, many) => group(number) + " " + (number === 1 ? one : many || one + "s");
const hex = (page) => (BigInt(page) << BigInt(SHIFT)).toString(16);
const text = (number) => D.texts[number];
const base = (name) => name.slice(name.lastIndexOf("/") + 1) || name;

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) { bytes /= 1024; at++; }
  return (bytes >= 100 || Number.isInteger(bytes) ? Math.round(bytes) : bytes.toFixed(1)) + " " + units[at];
}
function time(us) {
  return us < 1000 ? us + " \u00b5s" : us < 1e6 ? (us / 1000).toFixed(1) + " ms" : (us / 1e6).toFixed(2) + " s";
}
const ERRNO = {1: "EPERM", 2: "ENOENT", 3: "ESRCH", 4: "EINTR", 5: "EIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES",
  14: "EFAULT", 16: "EBUSY", 17: "EEXIST", 19: "ENODEV", 22: "EINVAL", 24: "EMFILE", 26: "ETXTBSY", 28: "ENOSPC", 38: "ENOSYS",
  75: "EOVERFLOW", 95: "EOPNOTSUPP"};
const FLAGS = {gd: "grows down", pf: "pages of a device", lo: "locked", io: "device memory", sr: "read sequentially",
  rr: "read at random", dc: "not copied by fork", de: "cannot grow by mremap", nr: "no swap reserved", ht: "huge pages of hugetlb",
  wf: "zeroed in a child", dd: "left out of core dumps", hg: "huge pages wanted", nh: "no huge pages", mg: "may be merged with equal pages",
  um: "userfaultfd: missing", uw: "userfaultfd: write-protected", ui: "userfaultfd: minor", ss: "shadow stack", sl: "sealed",
  lf: "locked on fault", dp: "may be dropped"};
const PERMS = {r: "read", w: "write", x: "execute", s: "shared", p: "private"};
const KIND_WORDS = {text: "program code of a file", data: "private, writable data of a file", heap: "the heap (brk)",
  stack: "a stack", anonymous: "private memory of no file", file: "other private mappings of a file",
  shared: "shared memory or a shared file", special: "of the kernel's own"};

// ---- A process's history ----

// Areas never change: an edit takes some out of the list and puts others in. s: first page, n: pages, born: event.
function applyEdit(state, edit, born, note) {
  const pieces = edit.length > 400 ? [] : null; // many changes at once: a new list
  let done = 0, shift = 0;
  for (let i = 0; i < edit.length;) {
    const at = edit[i], gone = edit[i + 1], end = i + 3 + 4 * edit[i + 2], fresh = [], old = pieces ? at - shift : at;
    let before = at === 0 ? null : state[old - 1]; // between two changes lies an area that stays
    for (i += 3; i < end; i += 4) {
      const area = {s: (before ? before.s + before.n : 0) + edit[i], n: edit[i + 1], look: edit[i + 2], off: edit[i + 3], born};
      fresh.push(before = area);
    }
    if (note) note(state, old, gone, fresh);
    if (pieces) {
      pieces.push(state.slice(done, old), fresh);
      done = old + gone;
      shift += fresh.length - gone;
    } else {
      state.splice(at, gone, ...fresh);
    }
  }
  if (pieces) pieces.push(state.slice(done));
  return pieces ? pieces.flat() : state;
}

class History {
  constructor(number) {
    this.number = number;
    this.process = D.processes[number];
    this.events = this.process.events;
    const parent = this.process.parent;
    this.initial = parent ? history_(parent[0]).stateAt(parent[1] - 1).map((a) => ({...a, born: -1})) : [];
    this.read();
  }
  // One pass: counters, absolute times, keyframes, and every range that was ever used.
  read() {
    const nr = this.events.length;
    this.areas = new Float64Array(nr);
    this.bytes = new Float64Array(nr);
    this.seq = new Float64Array(nr);
    this.when = new Float64Array(nr);
    this.changed = [];
    this.key = Math.max(256, Math.ceil(nr * this.process.peak / 4e6));
    this.frames = [this.initial.slice()];
    const ranges = this.initial.map((a) => [a.s, a.s + a.n]);
    let state = this.initial.slice(), pages = state.reduce((sum, a) => sum + a.n, 0), seq = 0, when = 0;
    const births = (before, from, gone, fresh) => {
      for (let i = from; i < from + gone; i++) pages -= before[i].n;
      for (const area of fresh) { pages += area.n; ranges.push([area.s, area.s + area.n]); }
    };
    this.events.forEach((event, i) => {
      if (i > 0 && i % this.key === 0) this.frames.push(state.slice());
      seq += event[0];
      when += event[1];
      this.seq[i] = seq;
      this.when[i] = when;
      if (event[6]) { state = applyEdit(state, event[6], i, births); this.changed.push(i); }
      this.areas[i] = state.length;
      this.bytes[i] = pages * PAGE;
    });
    this.used = union(ranges);
  }
  stateAt(index) { // after that event; before the first: -1
    if (index < 0) return this.initial.slice();
    const frame = Math.min(this.frames.length - 1, Math.floor(index / this.key));
    let state = this.frames[frame].slice();
    for (let i = frame * this.key; i <= index; i++)
      if (this.events[i][6]) state = applyEdit(state, this.events[i][6], i);
    return state;
  }
}
const histories = new Map();
function history_(number) {
  if (!histories.has(number)) histories.set(number, new History(number));
  return histories.get(number);
}
function union(ranges) {
  ranges.sort((a, b) => a[0] - b[0]);
  const all = [];
  for (const [start, end] of ranges) {
    const last = all[all.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else all.push([start, end]);
  }
  return all;
}

// ---- Where an address is drawn ----

const FOLD = 18; // pixels of a folded range
class Ruler {
  constructor(used, height, even, boundaries) {
    const total = used.reduce((sum, r) => sum + r[1] - r[0], 0);
    this.height = height;
    this.parts = [];
    let group_ = null;
    for (const [start, end] of used) { // small gaps are drawn to scale
      if (group_ && start - group_[1] <= total / 60) group_[1] = end;
      else this.parts.push(group_ = [start, end]);
    }
    this.cuts = this.parts.flatMap((part) => this.cut(part, even ? boundaries : null));
    const folds = Math.max(0, this.parts.length - 1);
    this.fold = Math.min(FOLD, height / 3 / Math.max(1, folds));
    const room = height - folds * this.fold, least = Math.min(3, room / this.cuts.length / 2);
    const weigh = (c) => even ? Math.log2(2 + c.e - c.s) : c.e - c.s;
    const sum = this.cuts.reduce((all, c) => all + weigh(c), 0) || 1;
    const spare = room - least * this.cuts.length;
    let y = 0, before = null;
    for (const c of this.cuts) {
      if (before && before.part !== c.part) y += this.fold;
      c.y = y;
      y = c.z = y + least + spare * weigh(c) / sum;
      before = c;
    }
  }
  cut(part, boundaries) {
    const inside = boundaries ? boundaries.filter((b) => b > part[0] && b < part[1]) : [];
    return [part[0], ...inside].map((s, i) => ({part, s, e: inside[i] ?? part[1], y: 0, z: 0}));
  }
  find(page) {
    let low = 0, high = this.cuts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.cuts[middle].s <= page) low = middle; else high = middle - 1;
    }
    return this.cuts[low];
  }
  y(page) { // of a page's upper edge
    const c = this.find(page);
    return c ? c.y + (c.z - c.y) * Math.min(1, Math.max(0, (page - c.s) / (c.e - c.s))) : 0;
  }
  end(page) { // of the lower edge of what ends at `page`
    const c = this.find(page - 1);
    return c ? c.y + (c.z - c.y) * Math.min(1, Math.max(0, (page - c.s) / (c.e - c.s))) : 0;
  }
  page(y) {
    for (const c of this.cuts)
      if (y < c.z) return y < c.y ? null : c.s + (c.e - c.s) * (y - c.y) / (c.z - c.y);
    return null;
  }
}

// ---- What is shown now ----

let view = null;       // the history
let at = 0;            // event in it
let state = [];        // areas at that event
let chosen = null;     // area, as {s, n}
let alone = -1;        // a kind that is shown alone
let even = false, ruler = null, playing = 0, colors = [], style = null;

const kindOf = (area) => D.looks[area.look][0];
const nameOf = (area) => text(D.looks[area.look][3]);
const isMark = (event) => !event[5].length && ["exec", "begins", "ends"].includes(D.calls[event[2]]);

function readColors() {
  style = getComputedStyle(document.documentElement);
  colors = D.areaKinds.map((_, i) => style.getPropertyValue("--k" + i).trim());
}
const color = (name) => style.getPropertyValue("--" + name).trim();

function callerText(number) {
  if (!number) return "";
  const [name, offset] = D.callers[number - 1];
  return base(text(name)) + (offset === "0x0" ? "" : "+" + offset);
}
function argText(call, i, value) {
  const name = (D.args[call] || [])[i] || "";
  if (typeof value === "string") return value;
  if (value < 0) { const word = text(-1 - value); return name === "file" && word.startsWith("/") ? base(word) : word; }
  if (/addr|context|value|field/.test(name) && value > 9) return "0x" + value.toString(16);
  return /len|size|bytes/.test(name) && value >= 1024 && value % 1024 === 0 ? size(value).replace(" ", "\u00a0") : String(value);
}
function resultText(result) {
  if (typeof result === "string") return result;
  if (result < 0) return "-" + (ERRNO[-result] || "E" + -result);
  return result > 4095 ? "0x" + result.toString(16) : String(result);
}
// An event in words: [what it is, its result or "", has it failed?]
function describe(event) {
  const call = D.calls[event[2]];
  if (isMark(event)) {
    const words = {exec: "a program begins (execve)", begins: "the process begins, with its parent's areas", ends: "the process ends"};
    return [words[call], "", false];
  }
  const args = event[5].map((value, i) => argText(call, i, value)).join(", ");
  return [call + "(" + args + ")", resultText(event[3]), typeof event[3] === "number" && event[3] < 0];
}

// ---- The picture ----

const NOW_WIDTH = () => (innerWidth < 600 ? 64 : 190);
function prepare(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.max(1, Math.round(box.width * ratio));
  canvas.height = Math.max(1, Math.round(box.height * ratio));
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [context, box.width, box.height];
}
function boundaries() {
  const all = new Set();
  const add = (areas) => { for (const a of areas) { all.add(a.s); all.add(a.s + a.n); } };
  add(view.initial);
  let now = view.initial.slice();
  for (let i = 0; i < view.events.length && all.size <= 500; i++)
    if (view.events[i][6]) now = applyEdit(now, view.events[i][6], i, (_, __, ___, fresh) => add(fresh));
  return all.size <= 500 ? [...all].sort((a, b) => a - b) : null;
}
// Areas of one moment from x to x + width; an area that has no pixel of its own any more is left out.
function paintColumn(context, areas, x, width, seams) {
  if (areas.length > 3000) { paintRows(context, areas, x, width); return; }
  let painted = -1;
  for (const area of areas) {
    const top = ruler.y(area.s), bottom = Math.max(ruler.end(area.s + area.n), top + 1);
    if (bottom <= painted) continue;
    paintArea(context, kindOf(area), x, Math.max(top, painted), width, bottom - Math.max(top, painted));
    if (seams && bottom - top > 4) { context.fillStyle = color("card"); context.fillRect(x, bottom - 1, width, 1); }
    painted = bottom - 0.5;
  }
  context.globalAlpha = 1;
}
function paintArea(context, kind, x, y, width, height) {
  context.globalAlpha = alone < 0 || alone === kind ? 1 : 0.13;
  context.fillStyle = colors[kind];
  context.fillRect(x, y, width, height);
}
// Of very many areas: what the upper edge of each row of pixels meets.
function paintRows(context, areas, x, width) {
  const height = ruler.height;
  let from = 0, kind = -1;
  for (let y = 0; y <= height; y++) {
    const page = y < height ? ruler.page(y) : null, next = page === null ? null : ruler.page(y + 1) ?? page + 1;
    const area = page === null ? null : areas[firstAbove(areas, page)], met = area && area.s < next ? kindOf(area) : -1;
    if (met === kind) continue;
    if (kind >= 0) paintArea(context, kind, x, from, width, y - from);
    from = y;
    kind = met;
  }
  context.globalAlpha = 1;
}
function firstAbove(areas, page) { // the first that ends above it
  let low = 0, high = areas.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (areas[middle].s + areas[middle].n > page) high = middle; else low = middle + 1;
  }
  return low;
}
const snap = (x) => { const ratio = Math.min(devicePixelRatio || 1, 2); return Math.round(x * ratio) / ratio; };
const timeWidth = (width) => width - NOW_WIDTH() - 10;
const xOf = (index, width) => (index + 0.5) * timeWidth(width) / view.events.length;

function drawMap() {
  const [context, width, height] = prepare($("map"));
  ruler = new Ruler(view.used, height, even, even ? boundaries() : null);
  const nr = view.events.length, room = timeWidth(width), columns = Math.max(1, Math.min(nr, Math.floor(room * 2)));
  context.fillStyle = color("card");
  context.fillRect(0, 0, width, height);
  let now = view.initial.slice(), next = 0;
  for (let column = 0; column < columns; column++) {
    const until = Math.floor((column + 1) * nr / columns);
    for (; next < until; next++)
      if (view.events[next][6]) now = applyEdit(now, view.events[next][6], next);
    const x = snap(column * room / columns); // to whole pixels: no seams
    paintColumn(context, now, x, snap((column + 1) * room / columns) - x);
  }
  drawFolds(context, width);
  $("map").setAttribute("aria-label", mapLabel());
  drawOver();
}
function drawFolds(context, width) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (let i = 1; i < ruler.parts.length; i++) {
    const gap = ruler.parts[i][0] - ruler.parts[i - 1][1], y = ruler.y(ruler.parts[i][0]) - ruler.fold;
    context.fillStyle = color("fold");
    context.fillRect(0, y, width, ruler.fold);
    if (ruler.fold < 12) continue;
    context.fillStyle = color("quiet");
    context.fillText(size(gap * PAGE) + " unused, up to " + hex(ruler.parts[i][0]), timeWidth(width) / 2, y + ruler.fold / 2 + 0.5);
  }
}
function mapLabel() {
  return "Areas of process " + view.process.pid + " over " + plural(view.events.length, "event") + ", in " +
    plural(ruler.parts.length, "group") + " of addresses";
}
// The cursor, the areas at this event, and the chosen one.
function drawOver() {
  const [context, width, height] = prepare($("over"));
  const left = timeWidth(width) + 10, x = xOf(at, width);
  context.fillStyle = color("card");
  context.fillRect(left - 10, 0, width, height);
  paintColumn(context, state, left, width - left, true);
  context.globalAlpha = 1;
  context.fillStyle = color("fold");
  for (let i = 1; i < ruler.parts.length; i++)
    context.fillRect(left - 10, ruler.y(ruler.parts[i][0]) - ruler.fold, width, ruler.fold);
  nameAreas(context, left, width);
  context.strokeStyle = color("cursor");
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x, 0);
  context.lineTo(x, height);
  context.stroke();
  for (const area of state) if (area.born === at) outline(context, area, left, width, 2, [4, 2]);
  if (chosen) outline(context, chosen, left, width, 3, []);
}
function outline(context, area, left, width, weight, dash) {
  const top = ruler.y(area.s), bottom = Math.max(ruler.end(area.s + area.n), top + 2);
  context.setLineDash(dash);
  context.lineWidth = weight;
  context.strokeStyle = color("cursor");
  context.strokeRect(left + 1, top, width - left - 2, bottom - top);
  context.setLineDash([]);
}
function nameAreas(context, left, width) {
  if (width - left < 120) return;
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "middle";
  let free = -1;
  for (const area of state) {
    const top = ruler.y(area.s), bottom = ruler.end(area.s + area.n), middle = (top + bottom) / 2;
    if (bottom - top < 13 || middle - 7 < free) continue;
    const name = base(nameOf(area)) || D.areaKinds[kindOf(area)];
    const words = name.length > 24 ? name.slice(0, 23) + "\u2026" : name, wide = context.measureText(words).width;
    context.fillStyle = color("card");
    context.globalAlpha = 0.86;
    context.fillRect(left + 4, middle - 7, wide + 8, 14);
    context.globalAlpha = 1;
    context.fillStyle = color("ink");
    context.fillText(words, left + 8, middle + 0.5);
    free = middle + 7;
  }
}
// The area at a page, or nothing.
function areaAt(page) {
  const area = state[firstAbove(state, page)];
  return area && area.s <= page ? area : null;
}
function tap(event) {
  const box = $("over").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  if (x < timeWidth(box.width)) go(Math.floor(x / timeWidth(box.width) * view.events.length));
  const page = ruler.page(y);
  let area = page === null ? null : areaAt(page);
  if (!area) // thin ones are hard to meet
    area = state.find((a) => Math.abs((ruler.y(a.s) + ruler.end(a.s + a.n)) / 2 - y) < 5) || null;
  choose(area);
}

// ---- Going to an event ----

function go(index) {
  at = Math.max(0, Math.min(view.events.length - 1, index));
  state = view.stateAt(at);
  if (chosen) chosen = areaAt(chosen.s) || null;
  $("time").value = at;
  showPosition();
  drawOver();
  showArea();
  showLegend();
  showAreas();
  showLog();
  drawGrowth();
}
function showPosition() {
  const event = view.events[at], [what, result, failed] = describe(event), from = callerText(event[4]);
  const place = "Event " + group(at + 1) + " of " + group(view.events.length);
  $("position").textContent = place + (M.clock ? " \u00b7 " + time(view.when[at]) : "");
  $("time").setAttribute("aria-valuetext", place + ": " + what + (result ? ", result " + result : ""));
  $("now").replaceChildren(what, result ? el("span", {className: failed ? "failed" : "result"}, " = " + result) : "",
    from ? el("span", {className: "from"}, "  from " + from) : "");
}
function showLegend() {
  const sums = D.areaKinds.map(() => [0, 0]);
  for (const area of state) { const sum = sums[kindOf(area)]; sum[0]++; sum[1] += area.n; }
  const list = $("legend");
  D.areaKinds.forEach((kind, i) => {
    let button = list.children[i] && list.children[i].firstChild;
    if (!button) {
      button = el("button", {type: "button", title: KIND_WORDS[kind] || kind});
      button.append(el("span", {className: "swatch"}), el("span", {}, kind), el("b", {}));
      button.addEventListener("click", () => { alone = alone === i ? -1 : i; drawMap(); showLegend(); });
      list.append(el("li", {}, button));
    }
    button.firstChild.style.background = colors[i];
    button.lastChild.textContent = sums[i][0] ? sums[i][0] + " \u00b7 " + size(sums[i][1] * PAGE) : "\u2013";
    button.setAttribute("aria-pressed", alone === i);
  });
}

// ---- One area ----

function choose(area) {
  chosen = area;
  showArea();
  drawOver();
  showAreas();
}
function showArea() {
  const box = $("area");
  if (!chosen) {
    box.replaceChildren(el("p", {className: "quiet"}, "Tap an area in the picture or in the list."));
    return;
  }
  const look = D.looks[chosen.look], perms = [...look[1]].filter((c) => c !== "-").map((c) => PERMS[c]).join(", ");
  const flags = look[2].split(" ").filter((flag) => FLAGS[flag]).map((flag) => FLAGS[flag]).join("; ");
  const rows = [["Range", hex(chosen.s) + "\u2013" + hex(chosen.s + chosen.n), "mono"],
    ["Size", size(chosen.n * PAGE) + ", " + plural(chosen.n, "page")],
    ["Kind", D.areaKinds[look[0]] + ": " + KIND_WORDS[D.areaKinds[look[0]]]],
    ["Name", text(look[3]) || "none", "mono"], ["Access", look[1] + " (" + perms + ")"],
    chosen.off || look[0] === 0 ? ["File offset", "0x" + hex(chosen.off), "mono"] : null,
    ["VmFlags", look[2] + (flags ? " \u2014 " + flags : "")]];
  const list = el("dl", {});
  for (const row of rows.filter(Boolean)) list.append(el("dt", {}, row[0]), el("dd", {className: row[2] || ""}, row[1]));
  list.append(el("dt", {}, "So since"), el("dd", {}, chosen.born < 0 ? "before this process began" : jump(chosen.born)));
  box.replaceChildren(list);
}
function jump(index) {
  const button = el("button", {type: "button"}, "event " + group(index + 1) + ", " + D.calls[view.events[index][2]]);
  button.addEventListener("click", () => go(index));
  return button;
}

// ---- The list of areas ----

const LIST_MAX = 300;
let listAll = false;
function showAreas() {
  if (!$("areas-box").open) return;
  const rows = [], middle = Math.max(0, state.findIndex((a) => chosen ? a.s === chosen.s : a.born === at));
  const from = listAll || state.length <= LIST_MAX ? 0 : Math.max(0, Math.min(state.length - LIST_MAX, middle - LIST_MAX / 2));
  const to = listAll ? state.length : Math.min(state.length, from + LIST_MAX);
  if (from > 0) rows.push(note(plural(from, "area") + " more above"));
  for (let i = from; i < to; i++) {
    if (i > 0 && state[i].s > state[i - 1].s + state[i - 1].n)
      rows.push(note(size((state[i].s - state[i - 1].s - state[i - 1].n) * PAGE) + " unused"));
    rows.push(areaRow(state[i]));
  }
  if (to < state.length) rows.push(note(plural(state.length - to, "area") + " more below"));
  if (to - from < state.length) rows.push(allRow());
  $("areas").tBodies[0].replaceChildren(...rows);
  $("areas-title").textContent = plural(state.length, "area") + " at this event, " + size(view.bytes[at]);
}
const note = (words) => el("tr", {className: "gap"}, el("td", {colSpan: 4}, words));
function allRow() {
  const button = el("button", {type: "button"}, "List all " + group(state.length));
  button.addEventListener("click", () => { listAll = true; showAreas(); });
  return el("tr", {className: "gap"}, el("td", {colSpan: 4}, button));
}
function areaRow(area) {
  const swatch = el("span", {className: "swatch"}), button = el("button", {type: "button"}), fresh = area.born === at;
  swatch.style.background = colors[kindOf(area)];
  button.append(swatch, hex(area.s) + "\u2013" + hex(area.s + area.n));
  button.addEventListener("click", () => choose(area));
  const name = nameOf(area), last = el("td", {}, name || "");
  if (fresh) last.append(el("span", {className: "tag"}, "changed here"));
  const row = el("tr", {}, el("td", {}, button), el("td", {className: "number"}, size(area.n * PAGE)),
    el("td", {}, D.looks[area.look][1]), last);
  if (fresh) row.classList.add("fresh");
  if (chosen && area.s === chosen.s) row.classList.add("chosen");
  return row;
}

// ---- The calls around ----

function matches(index) {
  const event = view.events[index], only = $("only").value;
  if (only === "changes") { if (!event[6]) return false; } else if (only !== "" && D.calls[event[2]] !== only) return false;
  return !$("failures").checked || describe(event)[2];
}
function search(from, step) {
  for (let i = from + step; i >= 0 && i < view.events.length; i += step) if (matches(i)) return i;
  return -1;
}
function showLog() {
  if (!$("log-box").open) return;
  const shown = matches(at) ? [at] : [];
  for (let i = at, n = 0; n < 6 && (i = search(i, -1)) >= 0; n++) shown.unshift(i);
  for (let i = at, n = 0; n < 8 && (i = search(i, 1)) >= 0; n++) shown.push(i);
  $("log").replaceChildren(...shown.map((index) => {
    const [what, result, failed] = describe(view.events[index]);
    const button = el("button", {type: "button"}, el("span", {className: "n"}, group(index + 1)), what,
      result ? el("span", {className: failed ? "failed" : ""}, " = " + result) : "");
    if (index === at) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => go(index));
    return el("li", {}, button);
  }));
  if (!shown.length) $("log").replaceChildren(el("li", {className: "quiet"}, "There is none."));
  $("previous-match").disabled = search(at, -1) < 0;
  $("next-match").disabled = search(at, 1) < 0;
}
function fillOnly() {
  const seen = new Set(view.events.map((event) => D.calls[event[2]]));
  const option = (value, words) => el("option", {value}, words);
  $("only").replaceChildren(option("", "all events"), option("changes", "those that changed an area"),
    ...[...seen].sort().map((name) => option(name, name)));
}

// ---- Areas over time ----

function niceTop(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].map((f) => f * step).find((top) => top >= value);
}
function niceBytes(value) {
  const unit = 2 ** (10 * Math.floor(Math.log2(Math.max(1, value)) / 10));
  return niceTop(value / unit) * unit;
}
function drawGrowth() {
  const [context, width, height] = prepare($("growth"));
  const isBytes = $("metric").value === "bytes", values = isBytes ? view.bytes : view.areas, nr = values.length;
  const limit = isBytes ? 0 : M.max_map_count, left = width < 500 ? 52 : 70, right = 12, top = 14, bottom = 26;
  let most = 0;
  for (const value of values) if (value > most) most = value;
  const wantsLimit = !isBytes && limit && ($("limit").checked || most > limit / 2);
  const full = wantsLimit ? Math.max(limit, most) * 1.06 : isBytes ? niceBytes(most * 1.05) : niceTop(most * 1.05);
  const x = (i) => left + (nr === 1 ? 0.5 : i / (nr - 1)) * (width - left - right);
  const y = (v) => top + (1 - v / full) * (height - top - bottom);
  const label = (v) => isBytes ? size(v) : group(Math.round(v));
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (let i = 0; i <= 4; i++) {
    context.strokeStyle = color("line");
    context.beginPath(); context.moveTo(left, y(full * i / 4)); context.lineTo(width - right, y(full * i / 4)); context.stroke();
    context.fillStyle = color("quiet");
    context.textAlign = "right";
    context.fillText(label(full * i / 4), left - 8, y(full * i / 4));
  }
  growthLine(context, values, x, y, width - left - right);
  context.textBaseline = "alphabetic";
  context.fillStyle = color("quiet");
  context.textAlign = "left";
  context.fillText("event 1", left, height - 8);
  context.textAlign = "right";
  context.fillText(group(nr), width - right, height - 8);
  if (wantsLimit) {
    context.strokeStyle = context.fillStyle = color("bad");
    context.setLineDash([6, 4]);
    context.beginPath(); context.moveTo(left, y(limit)); context.lineTo(width - right, y(limit)); context.stroke();
    context.setLineDash([]);
    context.fillText("limit " + group(limit), width - right, y(limit) - 5 < 12 ? y(limit) + 14 : y(limit) - 5);
  }
  context.strokeStyle = color("cursor");
  context.lineWidth = 1.5;
  context.beginPath(); context.moveTo(x(at), top); context.lineTo(x(at), height - bottom); context.stroke();
  $("growth").setAttribute("aria-label", (isBytes ? "Bytes mapped" : "Number of areas") + " over time: " + label(values[0]) +
    " at the first event, " + label(most) + " at most, " + label(values[nr - 1]) + " at the last, " + label(values[at]) + " now");
  $("limit").disabled = isBytes || !limit;
}
function growthLine(context, values, x, y, room) {
  const nr = values.length, columns = Math.min(nr, Math.max(2, Math.floor(room)));
  const points = [];
  for (let column = 0; column < columns; column++) { // the highest of those that share a pixel
    let best = Math.floor(column * nr / columns);
    for (let i = best; i < Math.floor((column + 1) * nr / columns); i++) if (values[i] > values[best]) best = i;
    points.push(best);
  }
  if (points[points.length - 1] !== nr - 1) points.push(nr - 1);
  const trace = () => points.forEach((i, n) => {
    if (n === 0) context.lineTo(x(i), y(values[i]));
    else { context.lineTo(x(i), y(values[points[n - 1]])); context.lineTo(x(i), y(values[i])); }
  });
  context.beginPath();
  context.moveTo(x(0), y(0)); trace(); context.lineTo(x(nr - 1), y(0)); context.closePath();
  context.globalAlpha = 0.16; context.fillStyle = color("accent"); context.fill(); context.globalAlpha = 1;
  context.beginPath(); trace();
  context.strokeStyle = color("accent"); context.lineWidth = 2; context.stroke();
}
function showMeter() {
  const limit = M.max_map_count, peak = view.process.peak;
  if (!limit) return;
  const share = 100 * peak / limit, bar = el("div", {className: "bar"}, el("i", {}));
  bar.firstChild.style.width = Math.min(100, share) + "%";
  $("meter").classList.toggle("near", share > 80);
  $("meter").replaceChildren(bar, el("p", {}, "At peak " + plural(peak, "area") + " of the " + group(limit) +
    " that vm.max_map_count allows: " + (share < 0.1 ? share.toFixed(3) : share.toFixed(1)) + " %"));
}

// ---- Calls by kind and by caller ----

function bars(table, title, rows) {
  const most = Math.max(1, ...rows.map((row) => row.nr));
  const head = el("thead", {}, el("tr", {}, el("th", {scope: "col"}, title), el("th", {scope: "col", className: "number"}, "Calls"),
    el("th", {scope: "col", className: "number"}, "Failed"), el("th", {scope: "col"}, el("span", {className: "quiet"}, ""))));
  const body = el("tbody", {}, ...rows.map((row) => {
    const bar = el("i", {});
    bar.style.width = 100 * row.nr / most + "%";
    return el("tr", {}, el("td", {}, row.name, row.more ? el("small", {}, row.more) : ""),
      el("td", {className: "number"}, group(row.nr)),
      el("td", {className: "number" + (row.failed ? " failed" : "")}, row.failed ? group(row.failed) : "0"),
      el("td", {className: "bar", "aria-hidden": "true"}, bar));
  }));
  table.replaceChildren(head, body);
}
function add(map, key, nr, failed) {
  if (!map.has(key)) map.set(key, {nr: 0, failed: 0, kinds: new Map()});
  const sum = map.get(key);
  sum.nr += nr;
  sum.failed += failed;
  return sum;
}
let allCallers = false;
function showCalls() {
  const one = document.querySelector("input[name=scope]:checked").value === "one";
  const kinds = new Map(), callers = new Map();
  for (const [process, kind, caller, nr, failed] of D.uses) {
    if (one && process !== view.number) continue;
    add(kinds, kind, nr, failed);
    const sum = add(callers, caller, nr, failed).kinds;
    sum.set(kind, (sum.get(kind) || 0) + nr);
  }
  const sort = (map) => [...map].sort((a, b) => b[1].nr - a[1].nr);
  bars($("by-kind"), "Call", sort(kinds).map(([kind, sum]) => ({name: D.calls[kind], ...sum})));
  const wanted = $("find").value.toLowerCase();
  const named = sort(callers).filter(([number]) => number !== 0).map(([number, sum]) => ({
    name: callerText(number), path: text(D.callers[number - 1][0]), through: D.callers[number - 1][2], nr: sum.nr, failed: sum.failed,
    more: [...sum.kinds].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([kind, nr]) => D.calls[kind] + " " + group(nr)).join(", ")}))
    .map((row) => ({...row, more: row.more + (row.through && !row.name.startsWith(base(text(row.through - 1)) + "+") ? ", through " + base(text(row.through - 1)) : "")}))
    .filter((row) => (row.name + " " + row.path).toLowerCase().includes(wanted));
  bars($("by-caller"), "File + offset", allCallers ? named : named.slice(0, 15));
  $("more-callers").hidden = allCallers || named.length <= 15;
  $("more-callers").textContent = "Show all " + group(named.length);
  const unknown = callers.get(0);
  if (!named.length || unknown)
    $("by-caller").append(el("tfoot", {}, el("tr", {}, el("td", {colSpan: 4, className: "quiet"}, wanted && !named.length ?
      "No caller has that in its name." : !named.length ? "This recording does not say which instruction made a call." :
      "Of " + plural(unknown.nr, "call") + " the caller is not known."))));
}

// ---- What was found ----

function goSeq(process, seq) {
  if (view.number !== process) pick(process);
  let low = 0, high = view.events.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (view.seq[middle] < seq) low = middle + 1; else high = middle;
  }
  go(low);
  $("player").scrollIntoView({block: "center"});
}
function goButton(process, seq) {
  const button = el("button", {type: "button"}, "Show the moment");
  button.addEventListener("click", () => goSeq(process, seq));
  return button;
}
const processName = (process) => process.pid + " " + text(process.name);

const OF_LIBC = /^(libc[.-]|ld-|libpthread)/;
// Findings of all processes, the same ones together, in three heaps.
function sortFindings() {
  const all = new Map();
  for (const [process, kind, caller, words, pageSize, nr, seq] of D.findings) {
    const isFile = text(words).includes(" cannot be loaded"), key = [isFile ? "" : kind, isFile ? "" : caller, words].join();
    if (!all.has(key))
      all.set(key, {process, kind, caller, words: text(words), pageSize, seq, nr: 0, heap: isFile ? "files" :
        caller && OF_LIBC.test(callerText(caller)) ? "libc" : "calls"});
    all.get(key).nr += nr;
  }
  return [...all.values()];
}
function findingCard(finding) {
  return el("div", {className: "said"}, el("strong", {}, D.calls[finding.kind]), finding.caller ? " from " : "",
    finding.caller ? el("code", {}, callerText(finding.caller)) : "", el("p", {}, finding.words),
    el("p", {className: "quiet small"}, plural(finding.nr, "time") + ", first in process " + processName(D.processes[finding.process])),
    goButton(finding.process, finding.seq));
}
function showFindings() {
  if (!D.findings.length) {
    $("pages").replaceChildren(el("p", {className: M.page_check ? "none" : "plain"}, M.page_check ?
      "Every call would have gone the same way with pages of " + size(M.page_check) + "." :
      "This run was not judged by the rules of larger pages: --page-size 16K or 64K does that."));
    return;
  }
  const all = sortFindings(), heap = (name) => all.filter((finding) => finding.heap === name);
  const parts = [el("p", {}, "What this run would have met on a kernel with pages of " + size(M.page_check) +
    ". After each finding it was judged as if it had got what comes closest to its wish.")];
  if (heap("calls").length) parts.push(el("h3", {}, "Calls of the program"), ...heap("calls").map(findingCard));
  else parts.push(el("p", {className: "none"}, "No call of the program itself would have gone another way."));
  if (heap("files").length)
    parts.push(el("details", {className: "card"}, el("summary", {}, plural(heap("files").length, "file") + " that cannot be loaded"),
      el("ul", {}, ...heap("files").map((finding) => el("li", {}, finding.words)))));
  if (heap("libc").length)
    parts.push(el("details", {className: "card"}, el("summary", {}, plural(heap("libc").length, "place") + " in the C library"),
      el("p", {className: "quiet"}, "It asks for the page size, and would have called otherwise there."),
      ...heap("libc").map(findingCard)));
  $("pages").replaceChildren(...parts);
}
function showDivergences() {
  if (!D.divergences.length) {
    $("divergences").replaceChildren(el("p", {className: "none"}, M.what_if ?
      "None: each call fails or succeeds as it did." : "None: every result and every map was as the engine says."));
    return;
  }
  $("divergences").replaceChildren(...D.divergences.map(([seq, process, words]) => el("div", {className: "said"},
    el("strong", {}, "Process " + processName(D.processes[process])), el("pre", {}, words), goButton(process, seq))));
}
function showHead() {
  const command = M.command.map((word) => /^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replace(/'/g, "'\\''") + "'").join(" ");
  document.title = "vmakit " + M.verb + ": " + command;
  $("verb").textContent = M.verb;
  $("command").textContent = command;
  $("facts").textContent = M.when + " \u00b7 Linux " + M.kernel + ", " + M.machine + " \u00b7 pages of " + size(PAGE);
  const bad = D.divergences.length, word = M.what_if ? "difference" : "divergence";
  $("verdict").textContent = bad ? plural(bad, word) : "No " + word;
  if (M.what_if) $("divergences-title").textContent = "Calls with another outcome than recorded";
  $("verdict").classList.add(bad ? "bad" : "good");
  const notices = D.notices.map((words) => el("p", {className: "notice", role: "note"}, words));
  $("notices").replaceChildren(...notices.slice(0, 3));
  if (notices.length > 3)
    $("notices").append(el("details", {className: "notices"}, el("summary", {}, plural(notices.length - 3, "more notice")),
      ...notices.slice(3)));
  const peak = Math.max(0, ...D.processes.map((process) => process.peak));
  const sum = (name) => D.processes.reduce((all, process) => all + process[name], 0);
  const ownFindings = sortFindings().filter((finding) => finding.heap === "calls").reduce((all, finding) => all + finding.nr, 0);
  const tiles = [["Processes", group(D.processes.length), plural(M.events, "event")],
    ["Memory calls", group(M.calls), plural(M.failed, "failure")],
    ["Areas at peak", group(peak), M.max_map_count ? "of " + group(M.max_map_count) + " allowed" : ""],
    sum("placed") ? ["Addresses foretold", group(sum("predicted")), "of " + group(sum("placed")) + " chosen"] : null,
    [M.what_if ? "Other outcomes" : "Divergences", group(bad), bad ? "listed below" :
      M.what_if ? "all as recorded" : M.verb === "replay" ? "all as recorded" : "engine and kernel agree", bad ? "bad" : ""],
    M.page_check ? ["Pages of " + size(M.page_check), group(ownFindings), ownFindings === 1 ? "call of the program fails" :
      "calls of the program fail", ownFindings ? "bad" : ""] : null];
  $("tiles").replaceChildren(...tiles.filter(Boolean).map(([name, value, more, className]) =>
    el("div", {className: className || ""}, el("dt", {}, name), el("dd", {}, value, el("small", {}, more)))));
  $("footer").textContent = "Written by vmakit " + M.version + ". This file is complete in itself: it loads nothing and sends nothing.";
}

// ---- Playing ----

let clock = 0, owed = 0;
function play(on) {
  playing = on;
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  $("play").title = on ? "Pause" : "Play";
  $("play").querySelector("path").setAttribute("d", on ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
  if (!on) return;
  if (at === view.events.length - 1) go(0);
  clock = performance.now();
  owed = 0;
  requestAnimationFrame(step);
}
// The whole run in some 12 seconds at speed 1, but no faster than one event after the other can be seen in a short one.
function step(now) {
  if (!playing) return;
  const speed = Number($("speed").value) * Math.max(4, view.events.length / 12);
  const pause = matchMedia("(prefers-reduced-motion: reduce)").matches ? 500 : 30;
  if (now - clock >= pause) {
    owed += (now - clock) / 1000 * speed;
    clock = now;
    const events = Math.floor(owed);
    owed -= events;
    if (events > 0) go(at + events);
  }
  if (at >= view.events.length - 1) play(false);
  else requestAnimationFrame(step);
}

// ---- Choosing a process; the beginning ----

function pick(number) {
  play(false);
  view = history_(number);
  chosen = null;
  listAll = false;
  $("process").value = number;
  $("time").max = view.events.length - 1;
  fillOnly();
  state = view.stateAt(0);
  at = 0;
  drawMap();
  go(view.events.length - 1);
  showMeter();
  showCalls();
}
function listen() {
  const on = (id, type, act) => $(id).addEventListener(type, act);
  on("process", "change", () => pick(Number($("process").value)));
  on("time", "input", () => { play(false); go(Number($("time").value)); });
  on("play", "click", () => play(!playing));
  for (const [id, to] of [["first", () => 0], ["back", () => at - 1], ["forward", () => at + 1], ["last", () => Infinity]])
    on(id, "click", () => { play(false); go(to()); });
  for (const input of document.querySelectorAll("input[name=scale]"))
    input.addEventListener("change", () => { even = input.value === "even"; drawMap(); });
  for (const input of document.querySelectorAll("input[name=scope]")) input.addEventListener("change", showCalls);
  on("over", "click", tap);
  on("over", "mousemove", (event) => {
    const box = $("over").getBoundingClientRect(), page = ruler.page(event.clientY - box.top);
    const area = page === null ? null : areaAt(page);
    $("over").title = area ? hex(area.s) + "\u2013" + hex(area.s + area.n) + " " + D.looks[area.look][1] + " " + nameOf(area) : "";
  });
  on("growth", "click", (event) => {
    const box = $("growth").getBoundingClientRect(), left = box.width < 500 ? 52 : 70;
    go(Math.round((event.clientX - box.left - left) / (box.width - left - 12) * (view.events.length - 1)));
  });
  on("metric", "change", drawGrowth);
  on("limit", "change", drawGrowth);
  on("only", "change", showLog);
  on("failures", "change", showLog);
  on("previous-match", "click", () => { const i = search(at, -1); if (i >= 0) go(i); });
  on("next-match", "click", () => { const i = search(at, 1); if (i >= 0) go(i); });
  on("areas-box", "toggle", showAreas);
  on("log-box", "toggle", showLog);
  on("find", "input", showCalls);
  on("more-callers", "click", () => { allCallers = true; showCalls(); });
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { drawMap(); drawGrowth(); }, 100); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColors(); drawMap(); go(at); });
}
function begin() {
  readColors();
  showHead();
  const shown = D.processes.map((process, i) => i).filter((i) => D.processes[i].events.length);
  $("process").replaceChildren(...shown.map((i) => el("option", {value: i}, processName(D.processes[i]) + " \u2014 " +
    plural(D.processes[i].calls, "call"))));
  showFindings();
  showDivergences();
  if (!shown.length) {
    $("space").replaceChildren(el("p", {className: "notice"}, "No event was collected."));
    return;
  }
  listen();
  pick(shown[0]);
}
begin();
})();
