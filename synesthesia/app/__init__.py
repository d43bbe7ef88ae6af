"""The app: one page in a browser, and pages that play without it. No model code."""
