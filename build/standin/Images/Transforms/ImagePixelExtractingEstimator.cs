using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes an <see cref="ImagePixelExtractingTransformer"/>; there is nothing to learn.</summary>
public sealed class ImagePixelExtractingEstimator : TrivialEstimator<ImagePixelExtractingTransformer>
{
    internal ImagePixelExtractingEstimator(IHostEnvironment env, ImagePixelExtractingTransformer transformer)
        : base(env.Register(nameof(ImagePixelExtractingEstimator)), transformer)
    {
    }

    /// <summary>Which channels are taken.</summary>
    [Flags]
    public enum ColorBits : byte
    {
        Alpha = 1,
        Red = 2,
        Green = 4,
        Blue = 8,
        Rgb = Red | Green | Blue,
        All = Alpha | Red | Green | Blue,
    }

    /// <summary>In which order channels follow each other; those that are not taken are skipped.</summary>
    public enum ColorsOrder : byte
    {
        ARGB = 1,
        ARBG = 2,
        ABRG = 3,
        ABGR = 4,
        AGRB = 5,
        AGBR = 6,
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        PixelLayout layout = Transformer.Layout;
        Transformer.Columns.FindImage(inputSchema);
        return inputSchema.With(new SchemaShape.Column(
            Transformer.Columns.Output, SchemaShape.Column.VectorKind.Vector, layout.ItemType, isKey: false));
    }
}
