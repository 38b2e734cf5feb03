// The frame of all pages: the header, and which page the address names.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Compare } from "./compare.js";
import { Data } from "./data.js";
import { html } from "./parts.js";
import { Play } from "./play.js";
import { Rate } from "./rate.js";
import { Run } from "./run.js";
import { Runs } from "./runs.js";
import { toggle, useTheme } from "./theme.js";

const PAGES = { "": Runs, run: Run, play: Play, rate: Rate, compare: Compare, data: Data };
const TITLES = { "": "Runs", run: "Training", play: "Play", rate: "Real or fake?", compare: "Compare", data: "Data" };

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, name = ""] = path.split("/");
  let decoded = name;
  try {
    decoded = decodeURIComponent(name);
  } catch {
    // a name that is typed in with a stray % is taken as it is
  }
  return { page: page in PAGES ? page : "", name: decoded, query: new URLSearchParams(query) };
}

function App() {
  const [at, go] = useState(place);
  const main = useRef();
  const theme = useTheme();
  useEffect(() => {
    const changed = () => {
      go((old) => {
        const next = place();
        if (next.page !== old.page || next.name !== old.name) {
          scrollTo(0, 0);
          main.current.focus({ preventScroll: true });
        }
        return next;
      });
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  useEffect(() => {
    document.title = [at.name, TITLES[at.page], "Gannet studio"].filter(Boolean).join(" · ");
  }, [at.page, at.name]);
  const Page = PAGES[at.page];
  const link = (page, text, own) => html`<a href=${`#/${page}`} aria-current=${own ? "page" : null}>${text}</a>`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current.focus();
    }}>Skip to the page</a>
    <header class="top">
      <a class="brand" href="#/"><img src="icon.svg" alt="" width="26" height="26" />Gannet studio</a>
      <nav aria-label="Pages">
        ${link("", "Runs", ["", "run", "play", "rate"].includes(at.page))}
        ${link("compare", "Compare", at.page === "compare")}
        ${link("data", "New run", at.page === "data")}
      </nav>
      <button class="quiet theme" onClick=${toggle} aria-label=${`Use the ${theme === "dark" ? "light" : "dark"} colours`}
        title="Light or dark">${theme === "dark" ? "☀" : "☾"}</button>
    </header>
    <main ref=${main} id="main" tabindex="-1"><${Page} key=${`${at.page}/${at.name}`} ...${at} /></main>`;
}

render(html`<${App} />`, document.body);
