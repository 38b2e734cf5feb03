// A run as it is now: asked for once, then kept up with by server-sent events.
import { useEffect, useRef, useState } from "preact/hooks";
import { at, ofRun, query, useAsk } from "./parts.js";

const POINTS = 600;
const WAIT = 1000; // milliseconds between two looks at a run that has no folder yet
const MOST = 2 * POINTS; // points on a curve, before the server thins them anew

/**
 * {run, error, curves, gone, heard}: the run, its statistics between the times `zoom` (null: all),
 * and the latest news in words.
 */
export function useRun(name, zoom) {
  const asked = useAsk(ofRun(name));
  const run = asked.data;
  const wanted = run?.statistics.join(",");
  const [from, to] = zoom ?? [null, null];
  const path = wanted && ofRun(name, `/statistics?${query({ names: wanted, from, to, points: POINTS })}`);
  const curves = useAsk(path || null);
  const [gone, setGone] = useState(null);
  const [heard, setHeard] = useState("");
  const waiting = run !== null && !run.recipe_toml && !run.statistics.length;
  const begun = run !== null && !waiting;
  const visible = useVisible();
  const now = useRef({ tail: null });
  now.current.zoom = zoom;

  useEffect(() => {
    const timer = waiting && setInterval(asked.again, WAIT);
    return () => clearInterval(timer);
  }, [waiting]);

  useEffect(() => {
    if (!begun || !visible) return undefined;
    const source = new EventSource(at(ofRun(name, `/events?${query({ tail: now.current.tail ?? run.tail })}`)));
    const on = (event, act) => source.addEventListener(event, ({ data, lastEventId }) => {
      now.current.tail = lastEventId || now.current.tail;
      act(JSON.parse(data));
    });
    const change = (part) => asked.set((old) => ({ ...old, ...part(old) }));
    on("stats", (news) => {
      change((old) => ({ kimg: news.kimg.at(-1) ?? old.kimg, statistics: together(old.statistics, news.series) }));
      if (!now.current.zoom) curves.set((old) => longer(old, news));
    });
    on("grid", (grid) => change(({ grids }) => ({
      grids: [...grids.filter(({ url }) => url !== grid.url), grid].sort((a, b) => a.kimg - b.kimg),
    })));
    on("finding", (diagnosis) => change(() => ({ diagnosis })));
    on("metric", (line) => change(({ metrics }) => ({ metrics: added(metrics, line) })));
    on("history", (line) => change(({ history }) => ({ history: added(history, line) })));
    on("state", (news) => {
      change((old) => {
        if (old.state !== news.state) setHeard(`${name} is now ${news.state}`);
        return news;
      });
      if (news.state === "gone") {
        source.close();
        setGone("This run's folder was removed while you looked at it.");
      } else if (!news.live) {
        asked.again();
      }
    });
    on("reset", () => {
      asked.again();
      curves.again();
    });
    return () => source.close();
  }, [name, begun, visible]);

  const length = curves.data?.kimg.length ?? 0;
  useEffect(() => {
    if (length > MOST) curves.again();
  }, [length > MOST]);
  return { run, error: asked.error ?? curves.error, curves: curves.data, gone, heard, again: asked.again };
}

/** Whether the page is seen: a hidden one gives up its connection, of which a browser has six to one server. */
function useVisible() {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const change = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", change);
    return () => document.removeEventListener("visibilitychange", change);
  }, []);
  return visible;
}

function added(lines, line) {
  const text = JSON.stringify(line);
  return lines.some((one) => JSON.stringify(one) === text) ? lines : [...lines, line];
}

function together(names, series) {
  const all = new Set([...names, ...Object.keys(series)]);
  return all.size === names.length ? names : [...all];
}

function longer(old, news) {
  if (!old || !news.kimg.length || news.kimg.at(-1) <= (old.kimg.at(-1) ?? -1)) return old;
  const none = news.kimg.map(() => null);
  const series = {};
  for (const [name, { min, max, mean }] of Object.entries(old.series)) {
    const more = news.series[name] ?? { min: none, max: none, mean: none };
    series[name] = { min: [...min, ...more.min], max: [...max, ...more.max], mean: [...mean, ...more.mean] };
  }
  return { kimg: [...old.kimg, ...news.kimg], series };
}
