using Microsoft.ML.Data;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes a member of type <see cref="MLImage"/> a column of images, and gives their size.</summary>
public sealed class ImageTypeAttribute : DataViewTypeAttribute
{
    public ImageTypeAttribute()
    {
    }

    public ImageTypeAttribute(int height, int width)
    {
        Check.Param(width > 0, nameof(width), "Should be positive number");
        Check.Param(height > 0, nameof(height), "Should be positive number");
        Height = height;
        Width = width;
    }

    internal int Height { get; }

    internal int Width { get; }

    public override bool Equals(DataViewTypeAttribute other) =>
        other is ImageTypeAttribute image && image.Height == Height && image.Width == Width;

    public override int GetHashCode() => HashCode.Combine(Height, Width);

    /// <summary>Registers the type; as in ML.NET, a size must have been given.</summary>
    public override void Register() =>
        DataViewTypeManager.Register(new ImageDataViewType(Height, Width), typeof(MLImage), this);
}
