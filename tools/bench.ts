// `npm run bench`: no package has a benchmark yet.
console.log("There are no benchmarks yet.");
