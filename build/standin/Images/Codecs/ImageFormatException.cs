#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>An encoded image that is damaged, cut short, or of a kind that the stand-in cannot decode.</summary>
internal sealed class ImageFormatException(string message) : Exception(message);
