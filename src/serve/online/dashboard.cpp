#include "src/serve/online/dashboard.hpp"

namespace windlass {
namespace {

constexpr std::string_view page = R"page(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Windlass</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<style>
:root{color-scheme:light dark;--line:#8884;--ink:#0a6ebd}
body{font:15px/1.45 system-ui,sans-serif;max-width:64rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .5rem}
header{display:flex;justify-content:space-between;align-items:baseline}
#tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.7rem}
.tile{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.tile b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.tile small{opacity:.75}.tile canvas{width:100%;height:2.2rem;display:block}
table{border-collapse:collapse;width:100%}td,th{text-align:right;padding:.2rem .6rem;border-bottom:1px solid var(--line)}
td:first-child,th:first-child{text-align:left}
#log{border:1px solid var(--line);border-radius:.5rem;height:18rem;overflow:auto;padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}
#log .user{font-weight:600}form{display:flex;gap:.5rem;margin-top:.5rem}
textarea{flex:1;font:inherit;padding:.4rem;min-height:2.2rem}button{font:inherit;padding:.3rem 1rem}
</style></head><body>
<header><h1>Windlass <span id="model"></span></h1><span id="state">…</span></header>
<h2>Now</h2><div id="tiles"></div>
<h2>Instances</h2><table><thead><tr><th>instance</th><th>running</th><th>waiting</th><th>pages used</th><th>pages</th><th>busy</th></tr></thead>
<tbody id="instances"></tbody></table>
<h2>Users</h2><table><thead><tr><th>user</th><th>requests</th><th>prompt tokens</th><th>cached</th><th>generated</th></tr></thead>
<tbody id="users"></tbody></table>
<h2>Chat</h2><div id="log" aria-live="polite"></div>
<form id="form"><textarea id="words" rows="1" placeholder="Ask the model" aria-label="message"></textarea>
<button id="send">Send</button><button id="stop" type="button" disabled>Stop</button></form>
<script>
"use strict";
const query = new URLSearchParams(location.search);
if (query.get("key")) sessionStorage.setItem("windlass-key", query.get("key"));
history.replaceState(null, "", location.pathname);
const headers = {Authorization: "Bearer " + (sessionStorage.getItem("windlass-key") || "")};
const by = id => document.getElementById(id);
const tiles = [["tokens", "generated tokens/s"], ["prompt", "prompt tokens/s"], ["ttft", "time to first token, ms"],
  ["tpot", "time per token, ms"], ["running", "running sequences"], ["waiting", "waiting sequences"],
  ["pages", "KV pages in use, %"], ["requests", "finished requests/s"]];
const past = Object.fromEntries(tiles.map(([name]) => [name, []]));
for (const [name, label] of tiles) {
  const tile = document.createElement("div");
  tile.className = "tile";
  tile.innerHTML = `<small>${label}</small><b id="v-${name}">–</b><canvas id="c-${name}" width="220" height="36"></canvas>`;
  by("tiles").append(tile);
}
function samples(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = /^([a-z_:]+)(?:\{(.*)\})? (\S+)$/i.exec(line);
    if (!match) continue;
    const labels = {};
    for (const label of (match[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label[1]] = label[2];
    found.push({name: match[1], labels, value: Number(match[3])});
  }
  return found;
}
function draw(name, value, digits) {
  const values = past[name];
  values.push(Number.isFinite(value) ? value : 0);
  if (values.length > 120) values.shift();
  by("v-" + name).textContent = Number.isFinite(value) ? value.toFixed(digits) : "–";
  const canvas = by("c-" + name), pen = canvas.getContext("2d"), top = Math.max(...values, 1e-9);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = "#0a6ebd";
  pen.lineWidth = 1.5;
  pen.beginPath();
  values.forEach((v, i) => pen.lineTo(i * canvas.width / 119, canvas.height - 2 - v / top * (canvas.height - 4)));
  pen.stroke();
}
function rows(body, lines) {
  by(body).replaceChildren(...lines.map(cells => {
    const row = document.createElement("tr");
    for (const cell of cells) row.insertCell().textContent = cell;
    return row;
  }));
}
let last = null;
async function look() {
  try {
    const health = await fetch("health");
    by("state").textContent = (await health.json()).status;
    const answer = await fetch("metrics", {headers});
    if (!answer.ok) throw new Error("metrics: " + answer.status);
    const all = samples(await answer.text()), now = performance.now() / 1000;
    const sum = name => all.filter(s => s.name === name).reduce((t, s) => t + s.value, 0);
    const instances = {}, prefix = "windlass:instance_";
    for (const s of all)
      if (s.name.startsWith(prefix)) Object.assign(instances[s.labels.instance] ||= {role: s.labels.role}, {[s.name.slice(prefix.length)]: s.value});
    const state = {now, instances};
    for (const name of ["vllm:generation_tokens_total", "vllm:prompt_tokens_total", "vllm:request_success_total",
      "vllm:time_to_first_token_seconds_sum", "vllm:time_to_first_token_seconds_count", "windlass:engine_busy_seconds_total",
      "vllm:request_time_per_output_token_seconds_sum", "vllm:request_time_per_output_token_seconds_count"]) state[name] = sum(name);
    const model = all.find(s => s.labels.model_name);
    if (model) by("model").textContent = "– " + model.labels.model_name;
    if (last) {
      const gained = name => state[name] - last[name], seconds = now - last.now;
      const mean = name => gained(name + "_sum") / gained(name + "_count") * 1000;
      draw("tokens", gained("vllm:generation_tokens_total") / seconds, 0);
      draw("prompt", gained("vllm:prompt_tokens_total") / seconds, 0);
      draw("requests", gained("vllm:request_success_total") / seconds, 1);
      draw("ttft", mean("vllm:time_to_first_token_seconds"), 1);
      draw("tpot", mean("vllm:request_time_per_output_token_seconds"), 2);
      const share = gain => (100 * gain / seconds).toFixed(0) + " %";
      const pages = sum("windlass:kv_pages"), free = sum("windlass:kv_pages_free");
      const alone = ["0 (mixed)", sum("vllm:num_requests_running"), sum("vllm:num_requests_waiting"), pages - free, pages,
        share(gained("windlass:engine_busy_seconds_total"))];
      const several = Object.entries(instances).map(([i, one]) => [`${i} (${one.role}${one.up ? "" : ", lost"})`, one.running, one.waiting,
        one.kv_pages - one.kv_pages_free, one.kv_pages, share(one.busy_seconds_total - (last.instances[i]?.busy_seconds_total ?? NaN))]);
      rows("instances", several.length ? several : [alone]);
    }
    draw("running", sum("vllm:num_requests_running"), 0);
    draw("waiting", sum("vllm:num_requests_waiting"), 0);
    draw("pages", 100 * sum("vllm:kv_cache_usage_perc"), 1);
    last = state;
    const users = {};
    for (const s of all) if (s.name.startsWith("windlass:user_")) (users[s.labels.user] ||= {})[s.name] = s.value;
    rows("users", Object.entries(users).map(([user, u]) => [user, u["windlass:user_requests_total"],
      u["windlass:user_prompt_tokens_total"], u["windlass:user_cached_tokens_total"], u["windlass:user_generated_tokens_total"]]));
  } catch (error) {
    by("state").textContent = error.message;
  }
  setTimeout(look, 1000);
}
look();
const messages = [];
let asking = null;
function say(role, words) {
  const line = document.createElement("div");
  line.className = role;
  line.textContent = words;
  by("log").append(line);
  return line;
}
async function ask(words) {
  messages.push({role: "user", content: words});
  say("user", words);
  const line = say("assistant", "");
  asking = new AbortController();
  by("send").disabled = true;
  by("stop").disabled = false;
  let answer = "";
  try {
    const response = await fetch("v1/chat/completions", {method: "POST", signal: asking.signal,
      headers: {...headers, "Content-Type": "application/json"}, body: JSON.stringify({messages, stream: true})});
    if (!response.ok) throw new Error((await response.json()).error.message);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "";;) {
      const {done, value} = await reader.read();
      if (done) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.replace(/^data: /, "");
        if (data === "[DONE]") continue;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Error(chunk.error.message);
        answer += chunk.choices[0]?.delta?.content || "";
        line.textContent = answer;
        by("log").scrollTop = by("log").scrollHeight;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") line.textContent = answer + "\n[" + error.message + "]";
  }
  messages.push({role: "assistant", content: answer});
  asking = null;
  by("send").disabled = false;
  by("stop").disabled = true;
}
by("form").onsubmit = event => {
  event.preventDefault();
  const words = by("words").value.trim();
  if (!words || asking) return;
  by("words").value = "";
  ask(words);
};
by("words").onkeydown = event => { if (event.key === "Enter" && !event.shiftKey) by("form").onsubmit(event); };
by("stop").onclick = () => asking?.abort();
</script></body></html>
)page";

}  // namespace

HttpResponse dashboard_response() {
  return {.content_type = "text/html; charset=utf-8",
          .body = std::string(page),
          .headers = {{"Content-Security-Policy",
                       "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
                       "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
                      {"Cache-Control", "no-store"},
                      {"Referrer-Policy", "no-referrer"},
                      {"X-Content-Type-Options", "nosniff"}}};
}

}  // namespace windlass
