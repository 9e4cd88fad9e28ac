using System.Linq.Expressions;
using System.Reflection;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Standin;

/// <summary>A user's class seen as columns: names, types, annotations, and compiled access to the members.</summary>
internal sealed class RowType<TRow>
    where TRow : class
{
    private RowType(Member[] members)
    {
        Members = members;
    }

    internal Member[] Members { get; }

    /// <summary>Resolves a definition, or the class's own where there is none.</summary>
    internal static RowType<TRow> Create(SchemaDefinition definition, SchemaDefinition.Direction direction)
    {
        definition ??= SchemaDefinition.Create(typeof(TRow), direction);
        var members = new List<Member>(definition.Count);
        foreach (SchemaDefinition.Column column in definition)
        {
            MemberInfo member = (MemberInfo)typeof(TRow).GetField(column.MemberName)
                ?? typeof(TRow).GetProperty(column.MemberName);
            Check.Param(
                member is not null,
                "userSchemaDefinition",
                $"No field or property with name '{column.MemberName}' found in type '{typeof(TRow).FullName}'");
            if (ColumnTypes.TypeOf(member) != typeof(IChannel))
            {
                members.Add(new Member(member, column));
            }
        }

        return new RowType<TRow>([.. members]);
    }

    /// <summary>The schema of rows of this class.</summary>
    internal DataViewSchema ToSchema()
    {
        var builder = new DataViewSchema.Builder();
        foreach (Member member in Members)
        {
            builder.AddColumn(member.Name, member.Type, member.Annotations);
        }

        return builder.ToSchema();
    }

    /// <summary>A member and its column.</summary>
    internal sealed class Member
    {
        private readonly MemberInfo _member;
        private Delegate _reader;

        internal Member(MemberInfo member, SchemaDefinition.Column column)
        {
            _member = member;
            Name = string.IsNullOrEmpty(column.ColumnName) ? column.MemberName : column.ColumnName;
            Type = column.ColumnType ?? ColumnTypes.ColumnTypeOf(member);
            Annotations = column.Annotations;
            Type itemType = ColumnTypes.ItemTypeOf(MemberType, out bool isVector);
            bool wantsVector = Type is VectorDataViewType;
            Check.Param(
                isVector == wantsVector,
                "userSchemaDefinition",
                $"Column '{Name}' is supposed to be {(wantsVector ? "vector" : "scalar")}, but type of associated field '{member.Name}' is {(isVector ? "vector" : "scalar")}");
            Type wanted = PrimitiveTypes.ItemTypeOf(Type).RawType;
            Check.Param(
                itemType == wanted,
                "userSchemaDefinition",
                $"Column '{Name}' is supposed to have item type {wanted}, but associated field has type {itemType}");
        }

        internal string Name { get; }

        internal string MemberName => _member.Name;

        internal DataViewType Type { get; }

        internal DataViewSchema.Annotations Annotations { get; }

        internal Type MemberType => ColumnTypes.TypeOf(_member);

        /// <summary>A getter of the column over the object that <paramref name="current"/> returns.</summary>
        internal Delegate CreateGetter(Func<TRow> current) =>
            UntypedGetters.Call<Delegate>(Getter<int>, MemberType, this, current);

        /// <summary>Whether the values of a column of type <paramref name="type"/> fit the member.</summary>
        internal bool Accepts(DataViewType type)
        {
            Type itemType = ColumnTypes.ItemTypeOf(MemberType, out bool isVector);
            return type is VectorDataViewType == isVector && PrimitiveTypes.ItemTypeOf(type).RawType == itemType;
        }

        /// <summary>Copies a column's value of the current row into the member of an object.</summary>
        internal Action<TRow> CreateSetter(DataViewRow row, DataViewSchema.Column column) =>
            UntypedGetters.Call<Action<TRow>>(Setter<int>, MemberType, this, row, column);

        private static Delegate Getter<T>(Member member, Func<TRow> current)
        {
            Func<TRow, T> read = member.Reader<T>();
            return ValueReaders.Create(() => read(current()), member.Type, keysFromZero: true);
        }

        private static Action<TRow> Setter<T>(Member member, DataViewRow row, DataViewSchema.Column column)
        {
            Func<TRow, T> read = member.CanRead ? member.Reader<T>() : static _ => default;
            ParameterExpression target = Expression.Parameter(typeof(TRow));
            ParameterExpression value = Expression.Parameter(typeof(T));
            Action<TRow, T> write = Expression.Lambda<Action<TRow, T>>(
                Expression.Assign(Expression.MakeMemberAccess(target, member._member), value), target, value).Compile();
            return ValueWriters.Create(row, column, read, write);
        }

        private bool CanRead => _member is not PropertyInfo property || property.GetGetMethod() is not null;

        // Compiled once: it takes longer than to read many rows.
        private Func<TRow, T> Reader<T>()
        {
            if (_reader is Func<TRow, T> known)
                return known;
            ParameterExpression source = Expression.Parameter(typeof(TRow));
            var reader = Expression.Lambda<Func<TRow, T>>(Expression.MakeMemberAccess(source, _member), source).Compile();
            _reader = reader;
            return reader;
        }
    }
}
