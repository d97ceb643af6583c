/** Release that this package models. */
export const RELEASE = "v1.18.8";
