using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes an <see cref="ImageResizingTransformer"/>; there is nothing to learn.</summary>
public sealed class ImageResizingEstimator : TrivialEstimator<ImageResizingTransformer>
{
    internal ImageResizingEstimator(IHostEnvironment env, ImageResizingTransformer transformer)
        : base(env.Register(nameof(ImageResizingEstimator)), transformer)
    {
    }

    /// <summary>How an image of another aspect ratio is fitted.</summary>
    public enum ResizingKind : byte
    {
        /// <summary>All of it is kept, centred; the rest is black.</summary>
        IsoPad = 0,

        /// <summary>All of the target is covered; what sticks out is cut off.</summary>
        IsoCrop = 1,

        /// <summary>It is stretched, by taking the nearest pixels.</summary>
        Fill = 2,
    }

    /// <summary>Which side <see cref="ResizingKind.IsoCrop"/> keeps.</summary>
    public enum Anchor : byte
    {
        Right = 0,
        Left = 1,
        Top = 2,
        Bottom = 3,
        Center = 4,
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Transformer.Columns.FindImage(inputSchema);
        return inputSchema.With(SchemaShape.Column.Of(Transformer.Columns.Output, Transformer.OutputType));
    }
}
