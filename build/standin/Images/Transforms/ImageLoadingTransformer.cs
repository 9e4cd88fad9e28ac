using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;
using Microsoft.ML.Standin.Images;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Data;

/// <summary>Reads the files that a column of paths names: as images, or as their bytes.</summary>
public sealed class ImageLoadingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "ImageLoaderTransform";

    /// <summary>The folder that relative paths start from, or null.</summary>
    public readonly string ImageFolder;

    private readonly bool _decode;

    internal ImageLoadingTransformer(IHostEnvironment env, string imageFolder, bool decode, ColumnPair columns)
        : base(env.Register(nameof(ImageLoadingTransformer)))
    {
        if (!string.IsNullOrEmpty(imageFolder))
        {
            ImageFolder = Directory.Exists(imageFolder)
                ? Path.GetFullPath(imageFolder)
                : throw new ArgumentException($"Directory \"{imageFolder}\" does not exist.");
        }

        _decode = decode;
        Columns = columns;
    }

    // A loaded model need not run where its folder was.
    private ImageLoadingTransformer(IHostEnvironment env, BinaryReader reader)
        : base(env.Register(nameof(ImageLoadingTransformer)))
    {
        Columns = ColumnPair.Load(reader);
        string folder = reader.ReadString();
        ImageFolder = folder.Length == 0 ? null : folder;
        _decode = reader.ReadBoolean();
    }

    internal ColumnPair Columns { get; }

    internal DataViewType OutputType =>
        _decode ? new ImageDataViewType() : new VectorDataViewType(NumberDataViewType.Byte);

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment env, ModelLoadContext ctx) => new ImageLoadingTransformer(env, ctx.Reader);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        Columns.Save(ctx.Writer);
        ctx.Writer.Write(ImageFolder ?? string.Empty);
        ctx.Writer.Write(_decode);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) =>
        _decode ? new ImageMapping(this, inputSchema) : new BytesMapping(this, inputSchema);

    private byte[] ReadFile(ReadOnlyMemory<char> name, out string path)
    {
        path = name.ToString();
        if (!string.IsNullOrWhiteSpace(ImageFolder))
        {
            path = Path.Combine(ImageFolder, path);
        }

        return File.ReadAllBytes(path);
    }

    private static void CheckText(DataViewSchema.Column source)
    {
        if (source.Type is not TextDataViewType)
        {
            throw Check.SchemaMismatch(
                "inputSchema", "input", source.Name, TextDataViewType.Instance.ToString(), source.Type.ToString());
        }
    }

    private sealed class ImageMapping : OneColumnMapping<MLImage>
    {
        private readonly ImageLoadingTransformer _parent;

        internal ImageMapping(ImageLoadingTransformer parent, DataViewSchema inputSchema)
            : base(inputSchema, parent.Columns)
        {
            _parent = parent;
            CheckText(Source);
        }

        protected override DataViewType OutputType() => _parent.OutputType;

        protected override ValueGetter<MLImage> CreateGetter(DataViewRow input, out Action dispose)
        {
            ValueGetter<ReadOnlyMemory<char>> getName = input.GetGetter<ReadOnlyMemory<char>>(input.Schema[Source.Index]);
            ReadOnlyMemory<char> name = default;
            MLImage last = null;
            dispose = () => last?.Dispose();
            return (ref MLImage value) =>
            {
                value?.Dispose();
                value = null;
                getName(ref name);
                if (name.Length > 0)
                {
                    value = MLImage.CreateFromStream(new MemoryStream(_parent.ReadFile(name, out string path)));
                    value.Tag = path;
                }

                last = value;
            };
        }
    }

    private sealed class BytesMapping : OneColumnMapping<VBuffer<byte>>
    {
        private readonly ImageLoadingTransformer _parent;

        internal BytesMapping(ImageLoadingTransformer parent, DataViewSchema inputSchema)
            : base(inputSchema, parent.Columns)
        {
            _parent = parent;
            CheckText(Source);
        }

        protected override DataViewType OutputType() => _parent.OutputType;

        protected override ValueGetter<VBuffer<byte>> CreateGetter(DataViewRow input, out Action dispose)
        {
            dispose = null;
            ValueGetter<ReadOnlyMemory<char>> getName = input.GetGetter<ReadOnlyMemory<char>>(input.Schema[Source.Index]);
            ReadOnlyMemory<char> name = default;
            return (ref VBuffer<byte> value) =>
            {
                getName(ref name);
                byte[] bytes = name.Length > 0 ? _parent.ReadFile(name, out _) : [];
                value = new VBuffer<byte>(bytes.Length, bytes);
            };
        }
    }
}
