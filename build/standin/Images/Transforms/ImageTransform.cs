using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Standin.Images;

/// <summary>The names of an image transform's one input column and one output column.</summary>
internal readonly record struct ColumnPair(string Output, string Input)
{
    public static ColumnPair Of(string output, string input)
    {
        Check.NotEmpty(output, "outputColumnName");
        return new ColumnPair(output, input ?? output);
    }

    public static ColumnPair Load(BinaryReader reader) => new(reader.ReadString(), reader.ReadString());

    public void Save(BinaryWriter writer)
    {
        writer.Write(Output);
        writer.Write(Input);
    }

    /// <summary>The input column in a shape, refused if it is not a column of images.</summary>
    public SchemaShape.Column FindImage(SchemaShape shape)
    {
        SchemaShape.Column column = Find(shape);
        if (column.ItemType is not ImageDataViewType || column.Kind != SchemaShape.Column.VectorKind.Scalar)
        {
            throw Check.SchemaMismatch("inputSchema", "input", Input, new ImageDataViewType().ToString(), column.GetTypeString());
        }

        return column;
    }

    public SchemaShape.Column Find(SchemaShape shape)
    {
        Check.NotNull(shape, "inputSchema");
        return shape.TryFindColumn(Input, out SchemaShape.Column column)
            ? column
            : throw Check.MissingColumn("inputSchema", "input", Input);
    }
}

/// <summary>A computation of one column from one other.</summary>
/// <typeparam name="TOut">What the output column holds.</typeparam>
internal abstract class OneColumnMapping<TOut> : RowMapping
{
    private readonly ColumnPair _columns;

    protected OneColumnMapping(DataViewSchema inputSchema, ColumnPair columns)
        : base(inputSchema)
    {
        _columns = columns;
        Source = inputSchema.GetColumnOrNull(columns.Input)
            ?? throw Check.MissingColumn("inputSchema", "input", columns.Input);
    }

    protected DataViewSchema.Column Source { get; }

    internal override IEnumerable<int> GetDependencies(int output) => [Source.Index];

    protected override DataViewSchema.DetachedColumn[] GetOutputs() => [new(_columns.Output, OutputType())];

    protected override Delegate CreateGetter(DataViewRow input, int output, out Action dispose) => CreateGetter(input, out dispose);

    /// <summary>The type of the output column.</summary>
    protected abstract DataViewType OutputType();

    protected abstract ValueGetter<TOut> CreateGetter(DataViewRow input, out Action dispose);

    /// <summary>The size of the input's images; throws if the column holds none.</summary>
    protected ImageDataViewType SourceImageType() => Source.Type as ImageDataViewType
        ?? throw Check.SchemaMismatch("inputSchema", "input", Source.Name, "image", Source.Type.ToString());
}
