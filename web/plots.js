/* What the pages with plots share: greensim's report and the experiment's. It becomes part of
   each of them, within its function. */

/* Colour in light, colour in dark, dashes: a policy looks the same on each page. */
var looks = {
  'always-on': ['#57606a', '#9da7b1', [8, 4]], 'optimum': ['#1a7f37', '#3fb950', [2, 3]],
  'bound': ['#4d7c0f', '#a3d65c', [1, 4]], 'oracle': ['#8250df', '#c297ff', [10, 3, 2, 3]],
  'plan': ['#57606a', '#9da7b1', [2, 2]],
  'hindsight': ['#9a6700', '#e3b341', [6, 3]], 'news': ['#0969da', '#58a6ff', null],
  'autoscale': ['#bc4c00', '#ff9b50', null], 'lcp': ['#cf222e', '#ff8182', null],
  'kpa': ['#bf3989', '#f778ba', null], 'threshold': ['#0e7490', '#4fd1e0', null],
  'reactive': ['#6f4e37', '#d2a679', null], 'moving-average': ['#5b6b00', '#c5d13f', [4, 2]],
  'straight-line': ['#3f3fbf', '#a5a5ff', [4, 2]], 'opt-reactive': ['#00755e', '#4be0c0', [4, 2]]
};
var dark = window.matchMedia('(prefers-color-scheme: dark)');
function look(policy) { return looks[policy] || looks['always-on']; }
function colour(policy) { return look(policy)[dark.matches ? 1 : 0]; }
function ink() { return dark.matches ? '#9da7b1' : '#57606a'; }
function line() { return dark.matches ? '#30363d' : '#d8dee4'; }

function find(id) { return document.getElementById(id); }
function add(parent, name, text) {
  var node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}
function figures(value, count) {
  return value.toLocaleString('en', { maximumSignificantDigits: count });
}
function two(n) { return (n < 10 ? '0' : '') + n; }

/* A stroke as the policy's in the plots. */
function swatch(policy) {
  var ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg');
  var stroke = document.createElementNS(ns, 'path');
  svg.setAttribute('viewBox', '0 0 24 10');
  svg.setAttribute('aria-hidden', 'true');
  stroke.setAttribute('d', 'M0 5h24');
  stroke.setAttribute('stroke', colour(policy));
  stroke.setAttribute('stroke-width', '3');
  stroke.setAttribute('stroke-dasharray', (look(policy)[2] || []).join(' '));
  svg.appendChild(stroke);
  return svg;
}

function interaction() { /* fingers scroll the page */
  var model = Object.assign({}, Dygraph.defaultInteractionModel);
  delete model.touchstart;
  delete model.touchmove;
  delete model.touchend;
  return model;
}
/* Options of every plot; `tick` writes what stands under it. */
function plain(tick) {
  return {
    legend: 'never', gridLineColor: line(), axisLineColor: line(), axisLabelFontSize: 13,
    rightGap: 12, highlightCircleSize: 3, animatedZooms: false, interactionModel: interaction(),
    xRangePad: 0,
    axes: {
      x: { axisLabelFormatter: tick, axisLabelWidth: 64, pixelsPerLabel: 72 },
      y: { axisLabelWidth: 56, axisLabelFormatter: function (v) { return figures(v, 4); } }
    }
  };
}

/* Plots over time, as [{ graph: ... }], which all show the section that one of them shows. */
var plots = [], following = false;
function showSection(range, but) {
  following = true;
  plots.forEach(function (p) {
    if (p.graph && p.graph !== but) p.graph.updateOptions({ dateWindow: range });
  });
  following = false;
}
function follow(changed) {
  if (!following) showSection(changed.xAxisRange(), changed);
}

/* Calls `paint` now, and when the scheme changes. On paper stands what the screen showed:
   Chromium prints nothing of what is painted when it has begun to print, and then says that the
   scheme is light. */
function paintByScheme(paint) {
  var printing = false;
  function now() {
    if (printing) return;
    document.documentElement.classList.toggle('dark', dark.matches);
    paint();
  }
  dark.addEventListener('change', now);
  window.addEventListener('beforeprint', function () { printing = true; });
  window.addEventListener('afterprint', function () { printing = false; });
  now();
}
