using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>The options that describe the image column.</summary>
/// <param name="Role">Kind of column named in error messages: <c>feature</c> or <c>input</c>.</param>
/// <param name="ColumnName">Name of the column.</param>
/// <param name="Channels">Number of channels, 1 or 3; null to use that of the column's type, or the default for images.</param>
/// <param name="Height">Image height in pixels; null to use that of the column's type, or the default for images.</param>
/// <param name="Width">Image width in pixels; null to use that of the column's type, or the default for images.</param>
/// <param name="Resizing">How images of another size are resized to this size.</param>
/// <param name="CropAnchor">Which part of the image is kept if resizing crops it.</param>
internal sealed record ImageSettings(
    string Role,
    string ColumnName,
    int? Channels,
    int? Height,
    int? Width,
    ImageResizingEstimator.ResizingKind Resizing,
    ImageResizingEstimator.Anchor CropAnchor);
