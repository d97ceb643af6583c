/** One line of a vector file, run. @returns what is different from what the real program said; `undefined` where nothing is */
export type GoldenRun<T> = (vector: T, folder: string) => string | undefined;
