// What a service's pages do beyond being pages.
import "./follow.js";

const decrypt = () => {
  if (document.querySelector("[data-decrypt]:not([data-ready])")) import("./decrypt.js").then((module) => module.prepare());
};
decrypt();
document.addEventListener("htmx:afterSettle", decrypt);

// Where a form that asks by itself waits for its answer.
document.addEventListener("htmx:beforeRequest", (event) => event.detail.target.setAttribute?.("aria-busy", "true"));
document.addEventListener("htmx:afterRequest", (event) => event.detail.target.removeAttribute?.("aria-busy"));
