/** Release that this package models. */
export const RELEASE = "v3.34.0";
