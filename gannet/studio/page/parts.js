// What all pages share: asking the server, words for numbers, small components.
import { h } from "preact";
import { useCallback, useEffect, useId, useRef, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);

const BUSY = 503; // the server has enough to do just now
const PAUSE = 700; // milliseconds

/** An address on the server, relative: a proxy may put the page below another path. */
export const at = (url) => url.replace(/^\//, "");

/** Values by name as the query of an address; a list is its name for each of its values. */
export const query = (values) =>
  new URLSearchParams(
    Object.entries(values).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
      .filter(([, value]) => value !== null && value !== ""),
  ).toString();

/** The address of one of the pages of a run. */
export const pageOf = (page, name) => `#/${page}/${encodeURIComponent(name)}`;

export const comparing = (names) => `#/compare?${query({ runs: names })}`;

export const ofRun = (name, rest = "") => `api/runs/${encodeURIComponent(name)}${rest}`;

/** The server's JSON; a body makes it a POST. Throws an error whose message is the server's one line. */
export async function ask(path, body) {
  const json = { "Content-Type": "application/json" };
  const options = body === undefined ? {} : { method: "POST", headers: json, body: JSON.stringify(body) };
  const answer = await fetch(at(path), options).catch(() => {
    throw new Error("The studio does not answer. If it was stopped, start it again: gannet studio");
  });
  const said = await answer.json().catch(() => null);
  if (!answer.ok) {
    const { status } = answer;
    throw Object.assign(new Error(said?.error ?? `The studio answered with status ${status}.`), { status });
  }
  return said;
}

/**
 * What the server says at `path` (null: nothing is asked), again every so many milliseconds.
 * One question is in flight at a time, and then the newest is asked: a slider cannot flood the server.
 * The last answer stays while the next is awaited. A server that is busy is asked again a little later.
 */
export function useAsk(path, every = 0) {
  const [state, setState] = useState({ data: null, error: null, path: null });
  const flight = useRef({ busy: false, wanted: null }).current;
  const settle = useCallback(async () => {
    if (flight.busy) return;
    flight.busy = true;
    for (let asked; flight.wanted !== null && asked !== flight.wanted; ) {
      asked = flight.wanted;
      const answer = await ask(asked).then(
        (data) => ({ data, error: null }),
        (error) => ({ error: error.message, busy: error.status === BUSY }),
      );
      if (answer.busy) {
        asked = undefined;
        await new Promise((done) => setTimeout(done, PAUSE));
      } else if (flight.wanted !== null) setState((old) => ({ ...old, ...answer, path: asked }));
    }
    flight.busy = false;
  }, []);
  useEffect(() => {
    flight.wanted = path;
    settle();
    const timer = every && setInterval(() => document.hidden || settle(), every);
    return () => {
      flight.wanted = null;
      clearInterval(timer);
    };
  }, [path, every]);
  const set = (change) => setState((old) => ({ ...old, data: change(old.data) }));
  return { ...state, loading: path !== null && state.path !== path, again: settle, set };
}

/** A function that acts once at a time, with what it last failed for. */
export function useAct(act) {
  const [state, setState] = useState({ busy: false, error: null });
  const go = async (...given) => {
    setState({ busy: true, error: null });
    try {
      await act(...given);
      setState({ busy: false, error: null });
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
  };
  return [go, state];
}

// Words for numbers

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(digits - 1).replace("e+", "e");
  return value.toLocaleString("en", { maximumSignificantDigits: Math.max(digits, Math.ceil(Math.log10(size + 1))) });
}

export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)}%`);

export const kimg = (value) =>
  value === null || value === undefined
    ? "–"
    : value.toLocaleString("en", value < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: value < 100 ? 1 : 0 });

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Small components

export const Card = ({ title, aside, children, class: kind = "", id }) => html`
  <section class=${`card ${kind}`} aria-label=${title} id=${id}>
    ${title && html`<header class="card-head"><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>`}
    ${children}
  </section>`;

export const Failure = ({ children }) => children && html`<p class="failure" role="alert">${children}</p>`;

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status">${what} …</p>`;

export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

export const State = ({ state }) => html`<span class=${`state state-${state}`}>${state}</span>`;

export const Progress = ({ kimg: done, total }) => {
  const part = total ? Math.min(1, (done ?? 0) / total) : 0;
  return html`<div class="progress" role="progressbar" aria-label="progress" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(100 * part)}><div style=${{ width: `${100 * part}%` }}></div></div>`;
};

/** A picture that says so when it cannot be read. */
export function Picture({ src, alt, ...rest }) {
  const [broken, setBroken] = useState(null);
  if (!src || broken === src) {
    return html`<div class="no-picture" role="img" aria-label=${`${alt}: none`}>
      ${src ? "This picture cannot be read." : "No picture yet."}</div>`;
  }
  return html`<img src=${at(src)} alt=${alt} onError=${() => setBroken(src)} ...${rest} />`;
}

export function Slider({ label, value, shown, onInput, ...range }) {
  const id = useId();
  return html`<div class="slider"><label for=${id}>${label}</label><span class="value">${shown ?? number(value)}</span>
    <input id=${id} type="range" value=${value} aria-valuetext=${shown ?? number(value)}
      onInput=${(event) => onInput(Number(event.target.value))} ...${range} /></div>`;
}

/** Some choices side by side, of which one holds. */
export const Choice = ({ label, options, value, onChoose }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button type="button" key=${key} aria-pressed=${key === value}
      onClick=${() => onChoose(key)}>${text}</button>`)}
  </div>`;

/** The ways from a run to its three pages. */
export const RunTabs = ({ name, page }) => html`
  <nav class="tabs" aria-label="Pages of this run">
    ${[["run", "Training"], ["play", "Play"], ["rate", "Real or fake?"]].map(([key, text]) => html`
      <a key=${key} href=${pageOf(key, name)} aria-current=${key === page ? "page" : null}>${text}</a>`)}
  </nav>`;

/** Offers an address as a file to save. */
export function save(href, file) {
  const link = Object.assign(document.createElement("a"), { href, download: file });
  link.click();
}
