using System.Runtime.CompilerServices;

// Kernels keep half-transformed tiles on the stack; clearing them first would cost as much as the transform.
[module: SkipLocalsInit]
