// Asks before a form with data-confirm is sent.
const dialog = document.getElementById("confirm");

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    if (!dialog || !form.dataset.confirm || form.dataset.confirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    dialog.querySelector("h2").textContent = form.dataset.confirm;
    dialog.querySelector("[data-confirm-text]").textContent = form.dataset.confirmText || "";
    dialog.querySelector("[data-confirm-yes]").textContent = form.dataset.confirmYes || "Yes";
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => answered(form, event.submitter), { once: true });
    dialog.showModal();
  },
  true,
);

function answered(form, submitter) {
  if (dialog.returnValue !== "yes") return;
  form.dataset.confirmed = "yes";
  const said = document.createElement("input");
  Object.assign(said, { type: "hidden", name: "confirmed", value: "yes" });
  form.append(said);
  form.requestSubmit(submitter);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-back]")) history.back();
});
