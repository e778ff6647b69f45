// A chart's values, one by one: under the pointer, by the keys of a slider, or by a finger on it.
for (const chart of document.querySelectorAll("figure.chart")) {
  const spots = [...chart.querySelectorAll(".spot")], reader = chart.querySelector(".reader");
  if (spots.length < 2) continue;
  const slider = reader.querySelector("input"), output = reader.querySelector("output");
  const show = (index) => {
    const told = spots[index].querySelector("title").textContent;
    spots.forEach((spot, each) => spot.classList.toggle("read", each === index));
    slider.value = index;
    slider.setAttribute("aria-valuetext", told);
    output.textContent = told;
  };
  slider.max = spots.length - 1;
  slider.addEventListener("input", () => show(Number(slider.value)));
  spots.forEach((spot, index) => spot.addEventListener("pointerenter", () => show(index)));
  show(chart.dataset.start === "first" ? 0 : spots.length - 1);
  reader.hidden = false;
}
