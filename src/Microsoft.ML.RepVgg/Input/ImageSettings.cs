using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>What the options say about the image column.</summary>
/// <param name="Role">What messages call the column: <c>feature</c> or <c>input</c>.</param>
/// <param name="ColumnName">The column.</param>
/// <param name="Channels">1 or 3, or null where the column tells.</param>
/// <param name="Height">In pixels, or null where the column tells.</param>
/// <param name="Width">In pixels, or null where the column tells.</param>
/// <param name="Resizing">How images of another size are brought to this one.</param>
/// <param name="CropAnchor">Which part is kept where resizing crops.</param>
internal sealed record ImageSettings(
    string Role,
    string ColumnName,
    int? Channels,
    int? Height,
    int? Width,
    ImageResizingEstimator.ResizingKind Resizing,
    ImageResizingEstimator.Anchor CropAnchor);
