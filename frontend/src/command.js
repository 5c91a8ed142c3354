// The command that compares just one pair again.

const LOCATION = /^(.*?)((?: \| \w+\((?:[^()"]|"[^"]*")*\))*)$/su;

/** A command for a shell; the two files of a row where each side is one, else its row of the run. */
export function commandOf(report, row) {
  const settings = report.said.settings;
  const given = [];
  const sides = ["golden", "my"].map((side) => parsed(report.text(`${side}_data_path`, row)));
  const alone = sides.every(({ files }) => files && !files.includes(" + "));
  if (alone) {
    given.push(`golden_path=${sides[0].files}`, `my_path=${sides[1].files}`);
    ["golden", "my"].forEach((side, number) => {
      const { steps } = sides[number];
      if (steps) given.push(`mapping.${side}_adapters=${steps}`);
    });
    if (sides[0].files === sides[1].files) given.push("allow_same=true");
  } else {
    for (const name of ["golden_path", "my_path", "reference_path"]) {
      if (settings[name] && settings[name] !== "null") given.push(`${name}=${settings[name]}`);
    }
    const token = report.token(row);
    if (token !== null) given.push(`tokens=${token}`);
    given.push(`data_ids=[${glob(report.text("data_id", row))}]`);
  }
  const carried = { tolerance: "tolerance.name", metrics: "metrics.definition" };
  const shipped = { tolerance: "dtype", metrics: "standard" };
  for (const [name, setting] of Object.entries(carried)) {
    const value = settings[setting];
    if (value && value !== shipped[name]) given.push(`${name}=${value}`);
  }
  return ["python -m ait_cmp", ...given.map(quoted)].join(" ");
}

function parsed(text) {
  const [, files, steps] = LOCATION.exec(text);
  return { files, steps: steps.slice(3) };
}

/** A name as a glob that fits it alone, in a list of Hydra's grammar. */
function glob(name) {
  const literal = name.replace(/[[*?]/g, "[$&]");
  return /^[\w./*?@%|-]+$/.test(literal) ? literal : `"${literal.replace(/(["\\])/g, "\\$1")}"`;
}

/** For a shell that reads it as it stands. */
function quoted(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
