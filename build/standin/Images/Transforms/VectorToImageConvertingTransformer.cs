using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using Microsoft.ML.Standin.Images;
using static Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Turns vectors of numbers into images: value * scale - offset, rounded.</summary>
public sealed class VectorToImageConvertingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "VectorToImageConverter";

    private readonly PixelLayout _layout;

    internal VectorToImageConvertingTransformer(IHostEnvironment env, ColumnPair columns, int imageHeight, int imageWidth, PixelLayout layout)
        : base(env.Register("VectorToImageConverter"))
    {
        Check.Param(imageWidth > 0, nameof(imageWidth), "Image width must be greater than zero");
        Check.Param(imageHeight > 0, nameof(imageHeight), "Image height must be greater than zero");
        Columns = columns;
        OutputType = new ImageDataViewType(imageHeight, imageWidth);
        _layout = layout;
    }

    internal ColumnPair Columns { get; }

    internal ImageDataViewType OutputType { get; }

    internal static bool CanConvert(DataViewType itemType) =>
        itemType == NumberDataViewType.Single || itemType == NumberDataViewType.Double || itemType == NumberDataViewType.Byte;

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        var columns = ColumnPair.Load(ctx.Reader);
        return new VectorToImageConvertingTransformer(
            env, columns, ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32(), PixelLayout.Load(ctx.Reader));
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        Columns.Save(ctx.Writer);
        ctx.Writer.Write(OutputType.Height);
        ctx.Writer.Write(OutputType.Width);
        _layout.Save(ctx.Writer);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(this, inputSchema);

    private sealed class Mapping : OneColumnMapping<MLImage>
    {
        private readonly VectorToImageConvertingTransformer _parent;
        private readonly VectorDataViewType _sourceType;

        internal Mapping(VectorToImageConvertingTransformer parent, DataViewSchema inputSchema)
            : base(inputSchema, parent.Columns)
        {
            _parent = parent;
            _sourceType = Source.Type as VectorDataViewType
                ?? throw Check.SchemaMismatch(nameof(inputSchema), "input", Source.Name, "image", Source.Type.ToString());
            var expected = new VectorDataViewType(
                _sourceType.ItemType, parent.OutputType.Height, parent.OutputType.Width, parent._layout.Channels.Length);
            if (_sourceType.Size != expected.Size)
            {
                throw Check.SchemaMismatch(nameof(inputSchema), "input", Source.Name, expected.ToString(), _sourceType.ToString());
            }
        }

        protected override DataViewType OutputType() => _parent.OutputType;

        protected override ValueGetter<MLImage> CreateGetter(DataViewRow input, out Action dispose)
        {
            dispose = null;
            if (_sourceType.ItemType == NumberDataViewType.Single)
            {
                return Convert<float>(input, value => value, scaled: true);
            }

            if (_sourceType.ItemType == NumberDataViewType.Double)
            {
                return Convert<double>(input, value => (float)value, scaled: true);
            }

            return _sourceType.ItemType == NumberDataViewType.Byte
                ? Convert<byte>(input, value => value, scaled: false)
                : throw new InvalidOperationException("We only support float, double or byte arrays");
        }

        private ValueGetter<MLImage> Convert<T>(DataViewRow input, Func<T, float> convert, bool scaled)
        {
            ValueGetter<VBuffer<T>> getSource = input.GetGetter<VBuffer<T>>(input.Schema[Source.Index]);
            VBuffer<T> source = default;
            var values = new T[_sourceType.Size];
            ImageDataViewType size = _parent.OutputType;
            var bytes = new byte[4 * size.Height * size.Width];
            return (ref MLImage image) =>
            {
                getSource(ref source);
                if (source.GetValues().Length == 0)
                {
                    image = null;
                    return;
                }

                source.CopyTo(values);
                Fill(values, convert, scaled, bytes);
                image = MLImage.CreateFromPixels(size.Width, size.Height, MLPixelFormat.Bgra32, bytes);
                image.Tag = nameof(VectorToImageConvertingTransformer);
            };
        }

        private void Fill<T>(T[] values, Func<T, float> convert, bool scaled, byte[] bytes)
        {
            PixelLayout layout = _parent._layout;
            scaled &= layout.Offset != 0 || layout.Scale != 1;
            foreach (ColorBits channel in (ReadOnlySpan<ColorBits>)[ColorBits.Alpha, ColorBits.Red, ColorBits.Green, ColorBits.Blue])
            {
                // As in ML.NET, alpha is 0 where values are scaled and 255 where they are not; colours are a scaled 0.
                byte missing = channel == ColorBits.Alpha ? (byte)(scaled ? 0 : 255) : (byte)Math.Round(scaled ? -layout.Offset : 0);
                for (int at = PixelLayout.ByteOf(channel, MLPixelFormat.Bgra32); (layout.Colors & channel) == 0 && at < bytes.Length; at += 4)
                {
                    bytes[at] = missing;
                }
            }

            for (int channel = 0; channel < layout.Channels.Length; channel++)
            {
                (int from, int step) = layout.Place(channel, bytes.Length / 4);
                for (int at = PixelLayout.ByteOf(layout.Channels[channel], MLPixelFormat.Bgra32); at < bytes.Length; at += 4, from += step)
                {
                    float value = convert(values[from]);
                    bytes[at] = scaled ? (byte)Math.Round(value * layout.Scale - layout.Offset) : (byte)value;
                }
            }
        }
    }
}
