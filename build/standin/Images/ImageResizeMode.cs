namespace Microsoft.ML.Data;

/// <summary>How an image is fitted to a size.</summary>
internal enum ImageResizeMode
{
    /// <summary>Scaled to fit, centred, the rest left empty.</summary>
    Pad,

    /// <summary>Stretched, without regard to the aspect ratio.</summary>
    Fill,

    /// <summary>Scaled to cover; what sticks out below is cut off.</summary>
    CropAnchorTop,

    /// <summary>Scaled to cover; what sticks out above is cut off.</summary>
    CropAnchorBottom,

    /// <summary>Scaled to cover; what sticks out on the right is cut off.</summary>
    CropAnchorLeft,

    /// <summary>Scaled to cover; what sticks out on the left is cut off.</summary>
    CropAnchorRight,

    /// <summary>Scaled to cover; what sticks out is cut off on both sides alike.</summary>
    CropAnchorCentral,
}
