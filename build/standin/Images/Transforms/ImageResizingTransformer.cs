using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using Microsoft.ML.Standin.Images;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Brings images to one size.</summary>
public sealed class ImageResizingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "ImageScalerTransform";

    private readonly ResizingKind _kind;
    private readonly Anchor _anchor;
    private readonly ImageResizeMode _mode;

    internal ImageResizingTransformer(
        IHostEnvironment env, ColumnPair columns, int imageWidth, int imageHeight, ResizingKind resizing, Anchor cropAnchor)
        : base(env.Register("ImageScaler"))
    {
        Check.Param(imageWidth > 0, nameof(imageWidth), "The width must be positive.");
        Check.Param(imageHeight > 0, nameof(imageHeight), "The height must be positive.");
        Check.Param(Enum.IsDefined(resizing), nameof(resizing), "Not a kind of resizing.");
        Check.Param(Enum.IsDefined(cropAnchor), nameof(cropAnchor), "Not an anchor.");
        Columns = columns;
        OutputType = new ImageDataViewType(imageHeight, imageWidth);
        _kind = resizing;
        _anchor = cropAnchor;
        _mode = (resizing, cropAnchor) switch
        {
            (ResizingKind.IsoPad, _) => ImageResizeMode.Pad,
            (ResizingKind.Fill, _) => ImageResizeMode.Fill,
            (_, Anchor.Top) => ImageResizeMode.CropAnchorTop,
            (_, Anchor.Bottom) => ImageResizeMode.CropAnchorBottom,
            (_, Anchor.Left) => ImageResizeMode.CropAnchorLeft,
            (_, Anchor.Right) => ImageResizeMode.CropAnchorRight,
            _ => ImageResizeMode.CropAnchorCentral,
        };
    }

    internal ColumnPair Columns { get; }

    internal ImageDataViewType OutputType { get; }

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        var columns = ColumnPair.Load(ctx.Reader);
        return new ImageResizingTransformer(
            env, columns, ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32(), (ResizingKind)ctx.Reader.ReadByte(), (Anchor)ctx.Reader.ReadByte());
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        Columns.Save(ctx.Writer);
        ctx.Writer.Write(OutputType.Width);
        ctx.Writer.Write(OutputType.Height);
        ctx.Writer.Write((byte)_kind);
        ctx.Writer.Write((byte)_anchor);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(this, inputSchema);

    private sealed class Mapping : OneColumnMapping<MLImage>
    {
        private readonly ImageResizingTransformer _parent;

        internal Mapping(ImageResizingTransformer parent, DataViewSchema inputSchema)
            : base(inputSchema, parent.Columns)
        {
            _parent = parent;
            SourceImageType();
        }

        protected override DataViewType OutputType() => _parent.OutputType;

        protected override ValueGetter<MLImage> CreateGetter(DataViewRow input, out Action dispose)
        {
            ValueGetter<MLImage> getSource = input.GetGetter<MLImage>(input.Schema[Source.Index]);
            MLImage source = null;
            ImageDataViewType size = _parent.OutputType;
            dispose = null;
            return (ref MLImage value) =>
            {
                value?.Dispose();
                value = null;
                getSource(ref source);
                if (source is null)
                {
                    return;
                }

                // As in ML.NET, an image that has the size already is handed on, not copied.
                if (source.Height == size.Height && source.Width == size.Width)
                {
                    value = source;
                    return;
                }

                value = source.CloneWithResizing(size.Width, size.Height, _parent._mode);
                value.Tag = source.Tag;
            };
        }
    }
}
