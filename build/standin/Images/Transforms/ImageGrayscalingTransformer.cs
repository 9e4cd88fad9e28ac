using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes images gray; they keep three equal colours.</summary>
public sealed class ImageGrayscalingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "ImageGrayscaleTransform";

    internal ImageGrayscalingTransformer(IHostEnvironment env, ColumnPair columns)
        : base(env.Register("ImageGrayscale"))
    {
        Columns = columns;
    }

    internal ColumnPair Columns { get; }

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment env, ModelLoadContext ctx) =>
        new ImageGrayscalingTransformer(env, ColumnPair.Load(ctx.Reader));

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        Columns.Save(ctx.Writer);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(inputSchema, Columns);

    private sealed class Mapping(DataViewSchema inputSchema, ColumnPair columns) : OneColumnMapping<MLImage>(inputSchema, columns)
    {
        protected override DataViewType OutputType() => SourceImageType();

        protected override ValueGetter<MLImage> CreateGetter(DataViewRow input, out Action dispose)
        {
            ValueGetter<MLImage> getSource = input.GetGetter<MLImage>(input.Schema[Source.Index]);
            MLImage source = null;
            dispose = () => source?.Dispose();
            return (ref MLImage value) =>
            {
                value?.Dispose();
                value = null;
                getSource(ref source);
                if (source is not null)
                {
                    value = source.CloneWithGrayscale();
                    value.Tag = source.Tag;
                }
            };
        }
    }
}
