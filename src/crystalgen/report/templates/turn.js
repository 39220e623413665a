// Crystals of a figure, to turn: a viewer is made when its box is first opened, so that a page of many figures opens quickly.
for (const box of document.querySelectorAll("details.turn")) {
  const {crystals, styles} = JSON.parse(box.querySelector("script").textContent);
  box.hidden = false; // where there is no viewer, in JupyterLab, the box stays hidden
  const choice = box.querySelector("select"), view = box.querySelector(".view");
  crystals.forEach((crystal, i) => choice.add(new Option(crystal.name, i)));
  let viewer = null;

  const corner = ([a, b, c], [i, j, k]) => [0, 1, 2].map(x => i * a[x] + j * b[x] + k * c[x]);

  function edges(cell) {
    const point = p => ({x: p[0], y: p[1], z: p[2]});
    for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]])
      for (const [from, to] of [[[0, i, j], [1, i, j]], [[i, 0, j], [i, 1, j]], [[i, j, 0], [i, j, 1]]])
        viewer.addCylinder({start: point(corner(cell, from)), end: point(corner(cell, to)), radius: 0.03, color: "#555555"});
  }

  // How much larger a crystal can be drawn than now, so that neither its corners nor its atoms leave the box.
  function room({cell, atoms}) {
    const box = view.getBoundingClientRect(), middle = {x: box.left + scrollX + box.width / 2, y: box.top + scrollY + box.height / 2};
    const onScreen = p => viewer.modelToScreen({x: p[0], y: p[1], z: p[2]});
    const origin = onScreen([0, 0, 0]), units = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(onScreen);
    const pixels = Math.sqrt(units.reduce((sum, u) => sum + (u.x - origin.x) ** 2 + (u.y - origin.y) ** 2, 0) / 2); // of one Å
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map(n => corner(cell, [n & 1, n >> 1 & 1, n >> 2]));
    const points = [...corners.map(p => [p, 0]), ...atoms.map(([elem, ...p]) => [p, styles[elem].radius])];
    const reach = (axis, half) => Math.max(...points.map(([p, radius]) => Math.abs(onScreen(p)[axis] - middle[axis]) + radius * pixels)) / half;
    return 0.94 / Math.max(reach("x", box.width / 2), reach("y", box.height / 2));
  }

  function show() {
    const crystal = crystals[choice.value];
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.addModel().addAtoms(crystal.atoms.map(([elem, x, y, z], serial) => ({elem, x, y, z, serial, bonds: [], bondOrder: []})));
    for (const [elem, {color, radius}] of Object.entries(styles)) viewer.setStyle({elem}, {sphere: {color, radius}});
    edges(crystal.cell);
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    viewer.rotate(24, "y");
    viewer.rotate(14, "x"); // away from a lattice plane, so that no two corners coincide
    viewer.zoomTo();
    viewer.render();
    viewer.zoom(room(crystal));
    viewer.render();
    const shown = new Set(crystal.atoms.map(atom => atom[0]));
    for (const entry of box.querySelectorAll("[data-element]")) entry.hidden = !shown.has(entry.dataset.element);
    box.dataset.shown = crystal.name;
  }

  function open() {
    if (!box.open || viewer) return;
    try {
      viewer = $3Dmol.createViewer(view, {backgroundColor: "white", orthographic: true});
      show();
    } catch (error) {
      viewer = null;
      view.textContent = "This browser draws no WebGL; the picture above shows the same crystals.";
    }
  }
  choice.addEventListener("change", show);
  box.addEventListener("toggle", open);
}
