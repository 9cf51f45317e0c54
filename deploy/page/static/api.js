// Calls of the Job API, with the key if there is one. It lives as long as the tab.
export const key = () => sessionStorage.getItem("key") || "";
export const setKey = (text) => sessionStorage.setItem("key", text.trim());

function headers(more = {}) { return key() ? { "X-API-Key": key(), ...more } : more; }

async function failed(answer) {
  let why = `${answer.status} ${answer.statusText}`;
  try {
    const { detail } = await answer.json();
    why = Array.isArray(detail) ? detail.map((d) => `${d.loc.slice(1).join(".")}: ${d.msg}`).join("; ") : detail || why;
  } catch { /* it is no JSON: the status says it */ }
  return new Error(why);
}

export async function call(method, path, body, more = {}) {
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers: headers({ ...kind, ...more }), body: body && JSON.stringify(body) });
  if (!answer.ok) throw await failed(answer);
  return answer.json();
}

export async function download(path) {
  const answer = await fetch(path, { headers: headers() });
  if (!answer.ok) throw await failed(answer);
  return answer.blob();
}

// Server-sent events by fetch: EventSource cannot carry a key.
export async function follow(hear) {
  for (;;) {
    try {
      const answer = await fetch("/live", { headers: headers() });
      if (answer.status === 401) { hear.locked(); return; }
      if (!answer.ok) throw await failed(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        const latest = parts.pop();
        if (!latest) continue;
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(latest);
        hear[name](JSON.parse(data));
      }
      throw new Error("the Job API has ended the connection");
    } catch (error) { hear.away(error.message); }
    await new Promise((go) => setTimeout(go, 2000));
  }
}
