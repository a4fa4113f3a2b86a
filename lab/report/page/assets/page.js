/* The page's own script: charts, theme, copy buttons and, where a run is live, what is new. Needs uPlot. */
(() => {
'use strict';
const root = document.documentElement, body = document.body;
const byId = id => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);
const charts = new Map();                       // figure -> uPlot

/* Colours come from the style sheet, resolved for the theme of the moment. */
const probe = body.appendChild(document.createElement('i'));
probe.hidden = true;
let colours = {};
const colour = name => colours[name] ??= (probe.style.color = `var(--${name})`, getComputedStyle(probe).color);

/* A pattern besides the colour, so that nobody has to tell red from green. */
const patterns = {};
function pattern(u, name, kind) {
  const key = name + kind + colour(name);
  if (patterns[key]) return patterns[key];
  const size = 6 * devicePixelRatio, tile = new OffscreenCanvas(size, size), to = tile.getContext('2d');
  to.fillStyle = colour('card'); to.fillRect(0, 0, size, size);
  to.fillStyle = to.strokeStyle = colour(name);
  if (kind === 'dots') { to.beginPath(); to.arc(size / 2, size / 2, size / 3.6, 0, 7); to.fill(); }
  else { to.lineWidth = size / 2.2; to.beginPath();
    for (const at of [-size, 0, size]) { to.moveTo(at, size); to.lineTo(at + size, 0); } to.stroke(); }
  return patterns[key] = u.ctx.createPattern(tile, 'repeat');
}

const number = new Intl.NumberFormat('en', {maximumFractionDigits: 1}).format;
function seconds(value) {
  if (value == null) return '–';
  if (value >= 10) return `${number(value)} s`;
  if (value >= 1) return `${+value.toFixed(2)} s`;
  return value >= 0.01 ? `${Math.round(value * 1000)} ms` : `${+(value * 1000).toFixed(2)} ms`;
}

/* The faults: shaded behind the lines (once, however many are in force), their numbers above, evidence as diamonds on
   the time axis. Numbers that would lie over each other are told as one: #1–4, or #1 +3. */
function shade(u, spans) {
  const {ctx, bbox} = u, dpr = devicePixelRatio, all = new Path2D(), edges = new Path2D(), labels = [];
  ctx.save();
  ctx.beginPath(); ctx.rect(bbox.left, bbox.top - 14 * dpr, bbox.width, bbox.height + 14 * dpr); ctx.clip();
  ctx.font = `600 ${11 * dpr}px system-ui, sans-serif`; ctx.textBaseline = 'bottom';
  for (const span of spans) {
    const left = u.valToPos(span.from, 'x', true), right = Math.max(u.valToPos(span.to, 'x', true), left + 2 * dpr);
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    all.rect(left, bbox.top, right - left, bbox.height);
    for (const edge of [left, right]) { edges.moveTo(edge, bbox.top); edges.lineTo(edge, bbox.top + bbox.height); }
    const at = Math.max(left, bbox.left), last = labels.at(-1);
    if (last && at < last.at + ctx.measureText(label(last.steps)).width + 4 * dpr) last.steps.push(span.step);
    else labels.push({at, steps: [span.step]});
  }
  ctx.fillStyle = colour('fault'); ctx.fill(all);
  ctx.strokeStyle = colour('fault-line'); ctx.lineWidth = dpr; ctx.setLineDash([3 * dpr, 3 * dpr]); ctx.stroke(edges);
  ctx.fillStyle = colour('bad');
  for (const {at, steps} of labels) ctx.fillText(label(steps), at, bbox.top - dpr);
  ctx.restore();
}
function label(steps) {
  const more = steps.length - 1, [first, last] = [steps[0], steps.at(-1)];
  return !more ? `#${first}` : last - first === more ? `#${first}–${last}` : `#${first} +${more}`;
}
function mark(u, spans) {
  const {ctx, bbox} = u, size = 5 * devicePixelRatio, low = bbox.top + bbox.height;
  ctx.save(); ctx.fillStyle = colour('bad'); ctx.strokeStyle = colour('card'); ctx.lineWidth = devicePixelRatio;
  for (const span of spans) for (const moment of span.evidence) {
    const at = u.valToPos(moment, 'x', true);
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.beginPath(); ctx.moveTo(at, low - size); ctx.lineTo(at + size, low); ctx.lineTo(at, low + size); ctx.lineTo(at - size, low);
    ctx.closePath(); ctx.fill(); ctx.stroke();
  }
  ctx.restore();
}

const bars = uPlot.paths.bars({size: [1, Infinity], align: 0});
const steps = uPlot.paths.stepped({align: 1});
const dots = d => ({show: d.at.length <= 120, size: 5});
const sum = (...lists) => lists[0].map((_, i) => lists.reduce((all, list) => all + list[i], 0));

/* Each kind: its columns, its series, its scale, and what is said of one moment. */
const KINDS = {
  ops: {
    height: 200, empty: d => !d.at.length,
    columns: d => [d.at, sum(d.ok, d.fail, d.info), sum(d.fail, d.info), d.info],
    series: () => [
      {paths: bars, fill: () => colour('ok'), points: {show: false}},
      {paths: bars, fill: u => pattern(u, 'fail', 'stripes'), points: {show: false}},
      {paths: bars, fill: u => pattern(u, 'info', 'dots'), points: {show: false}}],
    y: {range: (u, low, high) => [0, high > 0 ? high * 1.06 : 1]}, tick: value => number(value),
    tell: (d, i) => [['ok', `${number(d.ok[i])}/s`], ['failed', `${number(d.fail[i])}/s`], ['unknown', `${number(d.info[i])}/s`]]},
  latency: {
    height: 200, empty: d => !d.p50.some(value => value != null),
    columns: d => [d.at, d.p50, d.p99],
    series: d => [
      {stroke: () => colour('p50'), width: 2, points: dots(d)},
      {stroke: () => colour('p99'), width: 2, dash: [6, 4], points: dots(d)}],
    y: {distr: 3, range: (u, low, high) => low == null ? [0.001, 1] : uPlot.rangeLog(low / 1.3, high * 1.3, 10, false)},
    tick: seconds, tell: (d, i) => [['p50', seconds(d.p50[i])], ['p99', seconds(d.p99[i])]]},
  pool: {
    height: 120, empty: d => !d.pool,
    columns: d => [d.pool.at, d.pool.out, d.pool.open],
    series: () => [
      {stroke: () => colour('out'), fill: () => colour('out').replace('rgb(', 'rgba(').replace(')', ', .3)'), width: 1.5, paths: steps, points: {show: false}},
      {stroke: () => colour('open'), width: 2, dash: [2, 4], paths: steps, points: {show: false}}],
    y: {range: (u, low, high) => [0, Math.max(1, high) + 1]}, tick: value => value % 1 ? '' : String(value),
    tell: (d, i) => [['checked out', d.pool.out[i]], ['open', d.pool.open[i]], ['size', d.pool.size[i]]]},
};

const dataOf = figure => data[figure.dataset.part];
const inForce = (d, at) => d.faults.filter(span => span.from - d.width / 2 <= at && at <= span.to + d.width / 2);

function draw(figure) {
  const kind = KINDS[figure.dataset.chart], d = dataOf(figure), plot = figure.querySelector('.plot');
  if (!d || kind.empty(d)) { figure.hidden = figure.dataset.chart === 'pool'; return; }
  figure.hidden = false;
  const axis = {stroke: () => colour('muted'), grid: {stroke: () => colour('grid'), width: 1}, ticks: {show: false}, font: '12px system-ui, sans-serif'};
  const u = new uPlot({
    width: Math.max(plot.clientWidth, 120), height: kind.height, padding: [16, 8, 0, 0], legend: {show: false},
    scales: {x: {time: false, range: (u, low, high) => spread(u, low, high, dataOf(figure))}, y: kind.y},
    axes: [{...axis, size: 30, values: (u, at) => at.map(value => `${+value.toFixed(3)} s`)},
           {...axis, size: 58, values: (u, at) => at.map(value => value == null ? '' : kind.tick(value))}],
    series: [{}, ...kind.series(d)],
    cursor: {sync: {key: figure.dataset.part, setSeries: false, scales: ['x', null]}, y: false, drag: {x: true, y: false}, points: {size: 8}},
    hooks: {drawClear: [u => shade(u, dataOf(figure).faults)], draw: [u => mark(u, dataOf(figure).faults)], setCursor: [u => tip(figure, u)]},
  }, kind.columns(d), plot);
  charts.set(figure, u);
  plot.appendChild(Object.assign(document.createElement('div'), {className: 'tip', hidden: true}));
  figure.tabIndex = 0;
  figure.setAttribute('role', 'group');
  figure.setAttribute('aria-label', `${figure.querySelector('figcaption').textContent.trim()}: a chart of ${number(d.end)} seconds, ${d.faults.length} faults shaded. Left and right arrow keys read values.`);
}
function spread(u, low, high, d) {
  const at = u.data[0];
  return !at?.length || (low <= at[0] && high >= at[at.length - 1]) ? [0, d.end] : [low, high];
}

/* What is said of one moment, beside the pointer; read aloud where the keyboard moves it. */
function tip(figure, u) {
  const box = figure.querySelector('.tip'), i = u.cursor.idx;
  const asked = figure.matches(':hover') || figure.contains(document.activeElement) || figure.dataset.touched;
  if (!box || i == null || u.cursor.left < 0 || !asked) { if (box) box.hidden = true; return; }
  const d = dataOf(figure), at = u.data[0][i];
  const lines = KINDS[figure.dataset.chart].tell(d, i), faults = inForce(d, at);
  box.replaceChildren(Object.assign(document.createElement('b'), {textContent: `${+at.toFixed(2)} s`}),
    ...lines.map(([name, value]) => { const line = document.createElement('div');
      line.append(...[name, value].map(text => Object.assign(document.createElement('span'), {textContent: text}))); return line; }),
    ...faults.slice(0, 3).map(span => Object.assign(document.createElement('span'), {className: 'f', textContent: `#${span.step} ${span.fault}`})));
  box.hidden = false;
  const left = u.cursor.left + u.over.offsetLeft, room = u.width - box.offsetWidth;
  box.style.left = `${Math.max(0, Math.min(left + 14 > room ? left - box.offsetWidth - 14 : left + 14, room))}px`;
  box.style.top = '18px';
  if (figure.dataset.keyed) byId('said').textContent = [`${+at.toFixed(2)} seconds`, ...lines.map(line => line.join(' ')), ...faults.map(span => span.fault)].join(', ');
}

function move(figure, u, step) {
  const at = u.data[0], {min, max} = u.scales.x, now = u.cursor.idx ?? (step > 0 ? -1 : at.length);
  const first = at.findIndex(value => value >= min), last = at.findLastIndex(value => value <= max);  // of what a zoom shows
  const next = Math.max(first, Math.min(last, now + step));
  if (!(next in at)) return;
  figure.dataset.keyed = '1';
  u.setCursor({left: u.valToPos(at[next], 'x'), top: 10});
}
document.addEventListener('keydown', event => {
  const figure = event.target.closest?.('.chart'), u = figure && charts.get(figure);
  if (!u) return;
  const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9}[event.key];
  if (step) { move(figure, u, step); event.preventDefault(); }
  if (event.key === 'Escape') u.setData(u.data);
});
document.addEventListener('focusout', event => {
  const figure = event.target.closest?.('.chart');
  if (figure) { delete figure.dataset.keyed; charts.get(figure)?.setCursor({left: -10, top: -10}); }
});
for (const kind of ['touchstart', 'touchmove']) document.addEventListener(kind, event => {
  const figure = event.target.closest?.('.chart'), u = figure && charts.get(figure);
  for (const other of document.querySelectorAll('.chart[data-touched]')) if (other !== figure) { delete other.dataset.touched; charts.get(other)?.setCursor({left: -10, top: -10}); }
  if (!u) return;
  figure.dataset.touched = '1';
  u.setCursor({left: event.touches[0].clientX - u.over.getBoundingClientRect().left, top: 10});
}, {passive: true});

/* Charts are drawn when they come into sight, and follow the width of the page. */
const seen = new IntersectionObserver(entries => {
  for (const {isIntersecting, target} of entries) if (isIntersecting && !charts.has(target)) draw(target);
}, {rootMargin: '400px'});
const resized = new ResizeObserver(entries => {
  for (const {target} of entries) { const figure = target.parentElement, u = charts.get(figure);
    if (u && target.clientWidth && target.clientWidth !== u.width) u.setSize({width: target.clientWidth, height: u.height}); }
});
function adopt(within) {
  for (const figure of within.querySelectorAll('.chart')) {
    const kind = KINDS[figure.dataset.chart], d = dataOf(figure);
    figure.hidden = figure.dataset.chart === 'pool' && (!d || kind.empty(d));
    figure.style.setProperty('--h', `${kind.height}px`);
    seen.observe(figure); resized.observe(figure.querySelector('.plot'));
  }
}
adopt(document);
addEventListener('beforeprint', () => { for (const part of document.querySelectorAll('details.part')) part.open = true;
  for (const figure of document.querySelectorAll('.chart')) if (!charts.has(figure)) draw(figure); });

/* Theme: as the system has it, light, dark. */
const THEMES = ['auto', 'light', 'dark'], button = byId('theme');
function repaint() { colours = {}; for (const u of charts.values()) u.redraw(); }
function dress(theme) {
  if (theme === 'auto') delete root.dataset.theme; else root.dataset.theme = theme;
  button.querySelector('span').textContent = theme;
  button.setAttribute('aria-label', `Colours: ${theme === 'auto' ? 'as the system has them' : theme}`);
  repaint();
}
let theme = 'auto';
try { theme = localStorage.getItem('lab-theme') || 'auto'; } catch { /* a page from a file may have no storage */ }
dress(THEMES.includes(theme) ? theme : theme = 'auto');
button.addEventListener('click', () => {
  dress(theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
  try { localStorage.setItem('lab-theme', theme); } catch { /* not kept, then */ }
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);

document.addEventListener('click', async event => {
  const copy = event.target.closest?.('.copy');
  if (!copy) return;
  try { await navigator.clipboard.writeText(copy.dataset.copy); copy.textContent = 'Copied'; }
  catch { getSelection().selectAllChildren(copy.previousElementSibling); copy.textContent = 'Selected'; }
  setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
});
function reveal() {
  const part = location.hash.length > 1 && byId(location.hash.slice(1));
  if (part && part.matches('details')) part.open = true;
}
addEventListener('hashchange', reveal); reveal();

/* A live run: pieces of the page and data of charts, as they change. What is open, focused or zoomed stays so. */
const TAKE_FOCUS = 'summary, a, button, [tabindex]';
function replace(place, html) {
  const named = () => new Map([...place.querySelectorAll('details')].map(one => [one.firstElementChild.textContent, one]));
  const open = [...named()].filter(([, one]) => one.open), at = [...place.querySelectorAll(TAKE_FOCUS)].indexOf(document.activeElement);
  place.innerHTML = html;
  const now = named();
  for (const [name] of open) if (now.has(name)) now.get(name).open = true;
  if (at >= 0) place.querySelectorAll(TAKE_FOCUS)[at]?.focus({preventScroll: true});
}
function update(figure, u, end) {
  const columns = KINDS[figure.dataset.chart].columns(dataOf(figure)), {min, max} = u.scales.x;
  if (min <= 0 && max >= end) u.setData(columns);
  else { u.setData(columns, false); u.redraw(); }
}
function take(news) {
  const ends = Object.fromEntries(Object.keys(news.charts).map(name => [name, data[name]?.end]));
  for (const [name, html] of Object.entries(news.parts)) if (!byId(name)) byId('parts').insertAdjacentHTML('beforeend', html);
  for (const [name, html] of Object.entries(news.pieces)) if (byId(name)) replace(byId(name), html);
  Object.assign(data, news.charts);
  for (const name of Object.keys(news.parts)) adopt(byId(name));
  for (const figure of document.querySelectorAll('.chart')) {
    if (!(figure.dataset.part in news.charts)) continue;
    const u = charts.get(figure);
    if (u) update(figure, u, ends[figure.dataset.part]);
    else if (figure.closest('details').open) draw(figure);
  }
}
if (body.hasAttribute('data-live')) {
  const source = new EventSource('events'), status = byId('status');
  const end = text => { source.close(); status.textContent = text; };
  source.onopen = () => { status.textContent = '● live'; };
  source.addEventListener('news', event => take(JSON.parse(event.data)));
  source.addEventListener('end', event => { const news = JSON.parse(event.data); take(news); document.title = news.title; end('■ The run has ended; this page is whole and stays.'); });
  source.onerror = () => { status.textContent = source.readyState === 2 ? '✘ The lab does not answer any more.' : '… waiting for the lab'; };
}
root.dataset.ready = '1';
})();
