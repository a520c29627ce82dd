"use strict";

const byId = (id) => document.getElementById(id);
const VERBS = ["get", "post", "put", "patch", "delete"];
const MAX_DEPTH = 5;
let api = null;

// Comments are broken into lines where their file is full; paragraphs and lists stay.
const prose = (text) => (text || "").replace(/([^\n])\n(?!\n|[-*] )/g, "$1 ");

function make(tag, options, ...children) {
  const element = Object.assign(document.createElement(tag), options || {});
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const resolved = (schema) =>
  schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema || {};

function typeName(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return typeName(schema.items || {}) + "[]";
  return (schema.type || "any") + (schema.format ? " (" + schema.format + ")" : "");
}

// An example value of a schema; what holds itself ends after some levels.
function example(schema, depth) {
  const found = resolved(schema);
  if (found.enum) return found.enum[0];
  if (found.type === "array") return depth > 0 ? [example(found.items || {}, depth - 1)] : [];
  if (found.type === "object" || found.properties) {
    if (depth <= 0) return {};
    const entries = Object.entries(found.properties || {});
    return Object.fromEntries(entries.map(([name, inner]) => [name, example(inner, depth - 1)]));
  }
  if (found.type === "integer" || found.type === "number") return 0;
  if (found.type === "boolean") return false;
  if (found.format === "date-time") return "2026-01-31T12:00:00Z";
  return found.type === "string" ? "" : null;
}

function fieldsTable(schema) {
  const properties = Object.entries(resolved(schema).properties || {});
  if (properties.length === 0) return null;
  const rows = properties.map(([name, inner]) =>
    make("tr", {}, make("td", {}, name), make("td", {}, typeName(inner)), make("td", {}, prose(inner.description))));
  return make("table", {}, headline("field", "type", "meaning"), ...rows);
}

const headline = (...names) => make("tr", {}, ...names.map((name) => make("th", {}, name)));

function credentials() {
  const token = byId("token").value.trim();
  if (token) return { authorization: "Bearer " + token };
  const user = byId("user").value;
  if (!user) return {};
  const bytes = new TextEncoder().encode(user + ":" + byId("password").value);
  return { authorization: "Basic " + btoa(String.fromCharCode(...bytes)) };
}

async function send(verb, path, inputs, bodyText, output) {
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") target = target.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (input.value !== "") query.append(parameter.name, input.value);
  }
  if ([...query].length) target += "?" + query;
  const headers = credentials();
  if (bodyText !== null) headers["content-type"] = "application/json";
  output.textContent = "…";
  try {
    const answer = await fetch(target, { method: verb.toUpperCase(), headers, body: bodyText });
    let text = await answer.text();
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is no JSON: shown as it is. */ }
    output.textContent = answer.status + " " + answer.statusText + "  " + verb.toUpperCase() + " " + target + "\n\n" + text;
  } catch (failure) {
    output.textContent = String(failure);
  }
}

function details(verb, path, operation) {
  const inputs = [];
  const parts = [make("p", {}, prose(operation.description))];
  if ((operation.parameters || []).length) {
    const rows = operation.parameters.map((parameter) => {
      const input = make("input", { placeholder: parameter.required ? "required" : "", ariaLabel: parameter.name });
      inputs.push({ parameter, input });
      return make("tr", {}, make("td", {}, parameter.name), make("td", {}, parameter.in),
        make("td", {}, typeName(parameter.schema)), make("td", {}, prose(parameter.description)), make("td", {}, input));
    });
    parts.push(make("h3", {}, "Parameters"),
      make("table", {}, headline("name", "in", "type", "meaning", "value"), ...rows));
  }
  let body = null;
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  if (content) {
    body = make("textarea", { value: JSON.stringify(example(content.schema, MAX_DEPTH), null, 2), spellcheck: false });
    parts.push(make("h3", {}, "Body: " + typeName(content.schema)), fieldsTable(content.schema), body);
  }
  const output = make("pre", { hidden: true });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", () => {
    output.hidden = false;
    send(verb, path, inputs, body ? body.value : null, output);
  });
  for (const [status, response] of Object.entries(operation.responses)) {
    const answered = response.content && response.content["application/json"];
    if (status === "default" || response.$ref) continue;
    parts.push(make("h3", {}, "Answer " + status + (answered ? ": " + typeName(answered.schema) : "")));
    if (answered) {
      const shown = answered.schema.type === "array" ? answered.schema.items : answered.schema;
      parts.push(fieldsTable(shown));
    }
  }
  parts.push(make("p", { className: "privilege" }, "gRPC: " + operation["x-grpc-method"]), button, output);
  return make("div", { className: "body" }, ...parts);
}

function operationElement(verb, path, operation) {
  const element = make("details", { className: "operation", id: operation.operationId },
    make("summary", {}, make("span", { className: "verb " + verb }, verb.toUpperCase()),
      make("span", { className: "path" }, path), make("span", { className: "brief" }, operation.summary)));
  element.dataset.words = [verb, path, operation.operationId, operation.description].join(" ").toLowerCase();
  // Most are never opened: what is inside is made when it is asked for.
  element.addEventListener("toggle", () => {
    if (element.open && element.children.length === 1) element.append(details(verb, path, operation));
  });
  return element;
}

function show() {
  byId("version").textContent = api.info.version;
  const groups = new Map(api.tags.map((tag) => [tag.name, { tag, elements: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const verb of VERBS.filter((each) => item[each])) {
      groups.get(item[verb].tags[0]).elements.push(operationElement(verb, path, item[verb]));
    }
  }
  byId("operations").replaceChildren();
  for (const { tag, elements } of groups.values()) {
    byId("tags").append(make("a", { href: "#" + tag.name }, tag.name, make("span", {}, String(elements.length))));
    byId("operations").append(make("section", { id: tag.name },
      make("h2", {}, tag.name), make("p", { className: "about" }, prose(tag.description)), ...elements));
  }
}

// A link to an operation (#Task.ListTasks) opens it.
function follow() {
  const wanted = byId(decodeURIComponent(location.hash.slice(1)));
  if (wanted === null) return;
  if (wanted.tagName === "DETAILS") wanted.open = true;
  wanted.scrollIntoView();
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    let visible = 0;
    for (const element of section.querySelectorAll(".operation")) {
      element.hidden = !words.every((word) => element.dataset.words.includes(word));
      visible += element.hidden ? 0 : 1;
    }
    section.hidden = visible === 0;
  }
}

async function login() {
  const body = JSON.stringify({ userId: byId("user").value, password: byId("password").value });
  const answer = await fetch("/identity-api/login", { method: "POST", headers: { "content-type": "application/json" }, body });
  const found = await answer.json();
  byId("token").value = found.accessToken || "";
  byId("logged").textContent = found.accessToken ? "logged in" : found.exception || String(answer.status);
}

byId("search").addEventListener("input", search);
addEventListener("hashchange", follow);
byId("login").addEventListener("click", login);
fetch("/docs/openapi.json").then((answer) => answer.json()).then((found) => { api = found; show(); follow(); })
  .catch((failure) => { byId("operations").textContent = "The description cannot be read: " + failure; });
