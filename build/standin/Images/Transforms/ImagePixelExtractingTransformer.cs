using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Turns images of one size into vectors of numbers: (value - offset) * scale, or the bytes as they are.</summary>
public sealed class ImagePixelExtractingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "ImagePixelExtractor";

    internal ImagePixelExtractingTransformer(IHostEnvironment env, ColumnPair columns, PixelLayout layout)
        : base(env.Register("ImagePixelExtractor"))
    {
        Columns = columns;
        Layout = layout;
    }

    internal ColumnPair Columns { get; }

    internal PixelLayout Layout { get; }

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment env, ModelLoadContext ctx) =>
        new ImagePixelExtractingTransformer(env, ColumnPair.Load(ctx.Reader), PixelLayout.Load(ctx.Reader));

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        Columns.Save(ctx.Writer);
        Layout.Save(ctx.Writer);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => Layout.Floats
        ? new Mapping<float>(this, inputSchema, MakeTable(Layout))
        : new Mapping<byte>(this, inputSchema, [.. Enumerable.Range(0, 256).Select(value => (byte)value)]);

    private static float[] MakeTable(PixelLayout layout) =>
        [.. Enumerable.Range(0, 256).Select(value => (value - layout.Offset) * layout.Scale)];

    private sealed class Mapping<T> : OneColumnMapping<VBuffer<T>>
    {
        private readonly PixelLayout _layout;
        private readonly T[] _table;
        private readonly ImageDataViewType _size;

        internal Mapping(ImagePixelExtractingTransformer parent, DataViewSchema inputSchema, T[] table)
            : base(inputSchema, parent.Columns)
        {
            _layout = parent.Layout;
            _table = table;
            _size = SourceImageType();
            if (_size.Height <= 0 || _size.Width <= 0)
            {
                throw Check.SchemaMismatch(nameof(inputSchema), "input", Source.Name, "known-size image", "unknown-size image");
            }
        }

        protected override DataViewType OutputType() => _layout.VectorType(_size.Height, _size.Width);

        protected override ValueGetter<VBuffer<T>> CreateGetter(DataViewRow input, out Action dispose)
        {
            ValueGetter<MLImage> getSource = input.GetGetter<MLImage>(input.Schema[Source.Index]);
            MLImage source = null;
            dispose = () => source?.Dispose();
            int length = _size.Height * _size.Width * _layout.Channels.Length;
            return (ref VBuffer<T> value) =>
            {
                getSource(ref source);
                if (source is null)
                {
                    value = VBufferEditor.Create(ref value, length, valuesCount: 0).Commit();
                    return;
                }

                if (source.Height != _size.Height || source.Width != _size.Width)
                {
                    throw new InvalidOperationException(
                        $"An image of column '{Source.Name}' has {source.Width} x {source.Height} pixels (width x height); the column's type says {_size.Width} x {_size.Height}.");
                }

                VBufferEditor<T> editor = VBufferEditor.Create(ref value, length);
                Extract(source, editor.Values);
                value = editor.Commit();
            };
        }

        private void Extract(MLImage image, Span<T> values)
        {
            ReadOnlySpan<byte> bytes = image.Pixels;
            int pixels = bytes.Length / 4;
            for (int channel = 0; channel < _layout.Channels.Length; channel++)
            {
                (int at, int step) = _layout.Place(channel, pixels);
                for (int from = PixelLayout.ByteOf(_layout.Channels[channel], image.PixelFormat); from < bytes.Length; from += 4, at += step)
                {
                    values[at] = _table[bytes[from]];
                }
            }
        }
    }
}
